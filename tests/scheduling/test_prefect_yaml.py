"""The committed deployments: Prefect reads them, their flow is found, their recipes are recipes."""

from pathlib import Path
from typing import Any

import pytest
from prefect.cli.deploy._config import _load_deploy_configs_and_actions
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.flows import load_flow_from_entrypoint
from rich.console import Console
from ruamel.yaml import YAML

from flows.pipeline import post_training
from flows.recipe_files import find_recipe, override_recipe, read_document, shipped_recipes

FILE = Path(__file__).parents[2] / "prefect.yaml"


def _deployments() -> list[dict[str, Any]]:
    said = Console(record=True, quiet=True)
    deployments, _ = _load_deploy_configs_and_actions(FILE, console=said)
    assert said.export_text() == "", "Prefect tells here what it skips"
    return deployments


def test_prefect_reads_the_file_whole() -> None:
    PrefectYamlModel.model_validate(YAML(typ="safe").load(FILE))


def test_every_shipped_recipe_has_a_deployment_and_nothing_else() -> None:
    assert {each["name"] for each in _deployments()} == set(shipped_recipes())
    assert all(each["parameters"]["recipe"] == each["name"] for each in _deployments())


@pytest.mark.parametrize("deployment", _deployments(), ids=lambda each: each["name"])
def test_a_deployment_finds_the_flow_and_its_parameters_make_a_recipe(deployment: dict[str, Any]) -> None:
    assert load_flow_from_entrypoint(deployment["entrypoint"]) is post_training
    parameters = deployment["parameters"]
    document = read_document(find_recipe(parameters["recipe"]))
    assert override_recipe(document, parameters.get("overrides", {})).name == deployment["name"]
    accepted = post_training.parameters
    assert set(parameters) <= set(accepted.properties)


@pytest.mark.parametrize("deployment", _deployments(), ids=lambda each: each["name"])
def test_a_deployment_never_overlaps_with_itself(deployment: dict[str, Any]) -> None:
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert deployment["work_pool"]["name"] == "burnish"
