"""Dataset versions in Python: `load_dataset("chats@1")` is a `datasets.Dataset` over Arrow, no row copied.

from flows.data.loading import load_dataset
rows = load_dataset("chats@golden", prove=True)
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from infra.home import home_path, open_home
from infra.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from datasets import Dataset


def load_dataset(reference: str, *, prove: bool = False, home: Path | None = None) -> "Dataset":
    """All rows of a version, their bytes checked; its fingerprint is the version's. `load_dataset(…).data.table`
    is the Arrow table.

    With `prove` every row is hashed again. Raises NotFoundError for a version that is not there, DataError for
    one that is damaged.
    """
    from datasets import Dataset

    warehouse = Warehouse(open_home(home or home_path(os.environ, Path.cwd())))
    version = warehouse.get(reference)
    rows = warehouse.reader.prove(version) if prove else warehouse.reader.read(version)
    return Dataset(rows, fingerprint=version.fingerprint)
