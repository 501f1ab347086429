"""Who holds this machine's accelerators, and who waits for them; looking leaves no trace."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from infra.holders import read_sign

_HOLDER = re.compile(r"accelerator-(\d+)\.\d+\.holder")
_PLACE = ".place"


@dataclass(frozen=True, slots=True)
class Leases:
    """In words, as their holders say."""

    held: dict[int, str] = field(default_factory=dict[int, str])
    """By accelerator."""

    waiting: tuple[str, ...] = ()
    """In the order they came."""


def read_leases(directory: Path) -> Leases:
    """Of all homes and users of this machine. None where nobody ever leased, or where we may not look."""
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return Leases()
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - by a descriptor: no link can come in between
        signs = {name: who for name in names if (who := read_sign(name, folder)) is not None}
    finally:
        os.close(folder)
    held = {int(found[1]): who for name, who in signs.items() if (found := _HOLDER.fullmatch(name))}
    return Leases(
        dict(sorted(held.items())), tuple(who for name, who in signs.items() if name.endswith(_PLACE))
    )
