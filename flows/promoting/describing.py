"""Cards in MLflow follow the ledger: renewed whenever something was decided on a version, or verified of it.

A card that cannot be written holds up nothing; `doctor --deep` finds those that are not the ledger's.
"""

from collections.abc import Iterable

from data_contracts.errors import BurnishError
from flows.doctor.needed import current_version
from flows.promoting.candidates import find_execution
from flows.promoting.card import make_card
from flows.promoting.decisions import VERSION, decisions_about
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution
from infra.warehouse.warehouse import Warehouse


def describe(home: Home, ledger: Ledger, versions: Iterable[Execution | None]) -> list[str]:
    """Bring the cards of these to what the ledger knows; returns why some were not written."""
    from infra.registry_cards import MAX_DESCRIPTION, RegistryCards  # 2 s of imports

    untold: list[str] = []
    warehouse, registry = Warehouse(home), RegistryCards(home)
    for made in versions:
        if made is None:  # registered by hand
            continue
        try:
            with home.lock("cards", holder="the writing of model cards"):
                card = make_card(home, ledger, warehouse, made)
                registry.write(made.name, made.version, card.shortened(MAX_DESCRIPTION), card.text)
        except BurnishError as error:
            untold.append(error.found)
    return untold


def is_outdated(home: Home, ledger: Ledger, made: Execution) -> bool:
    """Whether MLflow shows another card than the ledger's; one of a version that it has lost is not."""
    from infra.registry_cards import MAX_DESCRIPTION, RegistryCards

    shown = RegistryCards(home).description(made.name, made.version)
    return shown not in (None, make_card(home, ledger, Warehouse(home), made).shortened(MAX_DESCRIPTION))


def describe_result(home: Home, ledger: Ledger, made: Execution) -> list[str]:
    """The card of a model that was just made, or of the models that verdicts were just made of."""
    if made.output == "model":
        return describe(home, ledger, [made])
    if made.kind != "verify":
        return []
    judged = [given for given in made.inputs if given.role == "start"]
    return describe(home, ledger, [find_execution(ledger, given.name, given.version) for given in judged])


def describe_decided(home: Home, ledger: Ledger, model: str) -> list[str]:
    """The cards of the versions that the newest decision on a model is about."""
    newest = decisions_about(ledger, model)[-1:]
    numbers = {n for each in newest for n in (each.from_version, each.to_version, each.evidence.get(VERSION))}
    current = {current_version(ledger, model, number) for number in numbers if number is not None}
    return describe(home, ledger, [find_execution(ledger, model, number) for number in sorted(current)])
