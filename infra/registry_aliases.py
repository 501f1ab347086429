"""The aliases of one registered model in MLflow, and how many of the ledger's decisions they show.

Importing this module imports MLflow (2 s), so callers import it late.
"""
# MLflow's entities have no annotations.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from infra.home import Home
from infra.mlflow_database import connect

_SHOWN = "burnish.decisions"
"""Tag of a registered model: how many of the ledger's decisions about it its aliases show."""


@dataclass(frozen=True, slots=True)
class AliasState:
    """What MLflow has of one registered model."""

    aliases: Mapping[str, int]
    versions: frozenset[int]
    num_shown: int
    """Decisions that the aliases were brought to last; 0 where nobody did."""


class RegistryAliases:
    """Reads and moves aliases. Every move is one transaction of MLflow's and may be repeated."""

    def __init__(self, home: Home) -> None:
        self._client: MlflowClient = connect(home.mlflow_uri, home.mlflow_artifacts_dir)

    def models(self) -> list[str]:
        """Every registered model, in the order of names."""
        page = self._client.search_registered_models()
        found = list(page)
        while page.token:
            page = self._client.search_registered_models(page_token=page.token)
            found += page
        return sorted(model.name for model in found)

    def state(self, model: str) -> AliasState:
        """Of a model that MLflow does not know: empty."""
        try:
            found = self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return AliasState({}, frozenset(), 0)
        shown = str(found.tags.get(_SHOWN, ""))
        return AliasState(
            aliases={alias: int(version) for alias, version in found.aliases.items()},
            versions=frozenset(self._versions(model)),
            num_shown=int(shown) if shown.isdecimal() else 0,
        )

    def point(self, model: str, alias: str, version: int) -> None:
        """Let an alias name this version, in place of what it named."""
        self._client.set_registered_model_alias(model, alias, str(version))

    def take_away(self, model: str, alias: str) -> None:
        self._client.delete_registered_model_alias(model, alias)

    def note_shown(self, model: str, num_decisions: int) -> None:
        """Say that the aliases show so many of the ledger's decisions."""
        self._client.set_registered_model_tag(model, _SHOWN, str(num_decisions))

    def _versions(self, model: str) -> list[int]:
        condition = f"name = '{model}'"
        page = self._client.search_model_versions(condition)
        found = list(page)
        while page.token:
            page = self._client.search_model_versions(condition, page_token=page.token)
            found += page
        return [int(version.version) for version in found]
