"""How a person names a version: `name`, `name@3`, `name@tag`, `name@2026-11-21`, `name@2026-11-21T14:00`."""

import difflib
import re
import time
from datetime import datetime

import duckdb

from data_contracts.errors import NotFoundError, RecipeError
from infra.warehouse.catalog import Catalog, DatasetVersion

TAG_PATTERN = re.compile(r"[a-z][a-z0-9_.-]*")
_FORMS = "NAME, NAME@3, NAME@TAG or NAME@2026-11-21"


def resolve(catalog: Catalog, db: duckdb.DuckDBPyConnection, reference: str) -> DatasetVersion:
    """The version a reference means. Raises NotFoundError, or RecipeError for one that means nothing."""
    name, at, which = reference.partition("@")
    if at and not which:
        raise RecipeError(f"{reference!r} names no version.", _FORMS, "Leave the @ out for the newest.")
    if not name:
        raise RecipeError(f"{reference!r} names no dataset.", _FORMS, "See `burnish data list`.")
    versions = catalog.select_versions(db, "name = $1", [name])
    if not versions:
        raise NotFoundError(f"No dataset {name}.", *_known_names(db, name))
    if not which:
        return versions[-1]
    if which.isascii() and which.isdigit():
        found = [version for version in versions if str(version.version) == which.lstrip("0")]
    elif TAG_PATTERN.fullmatch(which):
        tagged = db.execute("select version from tags where name = $1 and tag = $2", [name, which]).fetchall()
        found = [version for version in versions if tagged and version.version == tagged[0][0]]
    else:
        moment = _moment(reference, which)
        found = [version for version in versions if version.created_at <= moment][-1:]
    if not found:
        raise NotFoundError(
            f"No dataset {reference}.",
            f"a version from {versions[0].version} to {versions[-1].version}, a tag, or a date since "
            f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(versions[0].created_at))}",
            f"See `burnish data log {name}`.",
        )
    return found[0]


def _moment(reference: str, text: str) -> float:
    """The end of a day, or the moment itself, in local time. Raises RecipeError, for what is yet to come too."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.timestamp() > time.time():
            raise RecipeError(
                f"{reference!r} means a time that has not come.", "one in the past", "Leave the date out."
            )
        if len(text) <= len("2026-11-21"):
            moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
        return moment.timestamp()
    except (
        ValueError,
        OverflowError,
    ) as error:  # no date, or one that has no timestamp, such as of the year 1
        raise RecipeError(f"{reference!r} names no version.", _FORMS, "See `burnish data list`.") from error


def _known_names(db: duckdb.DuckDBPyConnection, name: str) -> tuple[str, str]:
    names = [row[0] for row in db.execute("select distinct name from versions order by name").fetchall()]
    close = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    return f"one of {shown}" if names else "a dataset; there is none yet", (
        f"Did you mean {close[0]}?" if close else "`burnish data import NAME FILE` makes one."
    )
