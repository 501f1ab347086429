"""Which of a recipe's datasets withdrawals change, known from the ledger alone, so that `plan` can say it.

When rows are withdrawn, every dataset of the ledger that was read in full and has none of them is written down
with the withdrawal. Any other dataset, read already or not, has the withdrawal in its identity: so its key
changes exactly when rows may leave it or come back.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from data_contracts.canonical import fingerprint
from infra.ledger import Ledger

Withdrawn: TypeAlias = Callable[[Mapping[str, Any]], list[str]]
"""From a dataset's identity to the scopes of the withdrawals that may take rows from it."""


def withdrawals_by_dataset(ledger: Ledger) -> Withdrawn:
    """For the withdrawals in force now."""
    in_force = ledger.withdrawals()

    def withdrawn(identity: Mapping[str, Any]) -> list[str]:
        if not in_force:
            return []
        key = full_key(identity)
        return sorted({w.scope for w in in_force if key not in w.untouched})

    return withdrawn


def full_key(identity: Mapping[str, Any]) -> str:
    """The key the dataset has when nothing is withdrawn from it."""
    return fingerprint({name: value for name, value in identity.items() if name != "withdrawn"})
