"""Dataset versions in Python: `load_dataset("chats@1")` is a `datasets.Dataset` over Arrow, no row copied.

from flows.data.loading import load_dataset
rows = load_dataset("chats@golden", prove=True)
"""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from flows.lineage.withdrawal import num_withdrawn
from infra.home import home_path, open_home
from infra.ledger import Ledger
from infra.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from datasets import Dataset


def load_dataset(reference: str, *, prove: bool = False, home: Path | None = None) -> "Dataset":
    """All rows of a version, their bytes checked; its fingerprint is the version's. `load_dataset(…).data.table`
    is the Arrow table.

    With `prove` every row is hashed again. Warns when some of the rows were withdrawn. Raises NotFoundError for a
    version that is not there, DataError for one that is damaged.
    """
    from datasets import Dataset

    opened = open_home(home or home_path(os.environ, Path.cwd()))
    warehouse = Warehouse(opened)
    version = warehouse.get(reference)
    rows = warehouse.reader.prove(version) if prove else warehouse.reader.read(version)
    if withdrawn := num_withdrawn(Ledger(opened.ledger_path), warehouse, version):
        warnings.warn(f"{withdrawn} rows of {version} are withdrawn; no recipe uses them", stacklevel=2)
    return Dataset(rows, fingerprint=version.fingerprint)
