"""Options that several commands about verifiers share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from data_contracts.errors import RecipeError
from data_contracts.stage_configs import Containment

Added = Annotated[
    tuple[str, ...],
    Parameter(
        name="--add",
        negative=(),
        help="A verifier of yours: NAME=file.py:RECORD or NAME=package.module:RECORD; repeatable.",
    ),
]


Sandbox = Annotated[
    Containment,
    Parameter(help="What programs run in: strong, or limited (no more than limits of resources)."),
]


def read_added(pairs: tuple[str, ...]) -> dict[str, str]:
    """Verifiers of one's own by name. Raises RecipeError for what is no NAME=PLACE."""
    added: dict[str, str] = {}
    for pair in pairs:
        name, separator, place = pair.partition("=")
        if not separator or not name.isidentifier() or ":" not in place:
            raise RecipeError(
                f"--add {pair!r} cannot be read.",
                "NAME=file.py:RECORD or NAME=package.module:RECORD",
                "`burnish verifier template` prints a module with such a record.",
            )
        added[name] = absolute_place(place)
    return added


def absolute_place(place: str) -> str:
    """The same from any folder: workers run in another one."""
    module, _, record = place.rpartition(":")
    return f"{Path(module).absolute()}:{record}" if module.endswith(".py") else place
