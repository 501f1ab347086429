"""A pool that knows the wrong verifiers."""

from collections.abc import Iterator

import pytest

from stages.verifiers.catalog import Catalog
from stages.verifiers.pool import VerifierPool
from tests.audit.problems import ADDED


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(Catalog(ADDED), num_workers=1) as pool:
        yield pool
