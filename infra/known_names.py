"""A name that nothing answers to is refused with the names there are, and the nearest one."""

import difflib
from collections.abc import Iterable

from data_contracts.errors import NotFoundError


def require_known(kind: str, name: str, known: Iterable[str], *, of: str = "") -> None:
    """Raises NotFoundError unless `name`, a `kind` of thing of `of`, is among the known."""
    names = list(known)
    if name in names:
        return
    nearest = difflib.get_close_matches(name, names, n=1)
    raise NotFoundError(
        f"There is no {kind} {name!r}" + (f" of {of}." if of else "."),
        f"one of {', '.join(names)}" if names else "none has been registered yet",
        f"Did you mean {nearest[0]!r}?" if nearest else "",
    )
