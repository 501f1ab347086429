"""A home on a team's servers, by settings alone: the embedded default first, then the same home joined to them.

The tests of this file are one story and run in its order. Slow: `make test-servers` runs them.
"""

import base64
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from data_contracts.errors import NotFoundError, ServerError
from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.registry import ModelRegistry
from infra.settings import server_environment_of
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import BURNISH, wait_until
from tests.servers.team import HOST, Team, clean_environment, process, team_servers

pytestmark = pytest.mark.servers

RUN_SECONDS = 500.0
RECIPE = """\
name: coin
seed: 3
base: {build: tiny-qwen3}
datasets:
  tosses: {path: tosses.jsonl}
  held_out: {path: held_out.parquet, verifier: exact_number}
stages:
  sft: {kind: sft, start: base, rows: [tosses], learning_rate: 4e-3, steps: 4, global_batch: 16, max_length: 32}
evaluate: {rows: [held_out], samples: 4, max_completion_length: 3}
"""


class Story:
    """One home, one recipe, one team; what the command line said is kept to be searched."""

    def __init__(self, folder: Path, team: Team) -> None:
        self.team = team
        self.folder = folder
        self.home: Home = open_home(folder / "home")
        self.recipe = write_coin(folder)
        self.recipe.write_text(RECIPE)
        self.said: list[str] = []

    @property
    def settings(self) -> dict[str, str]:
        return self.team.settings(self.home.path)

    def burnish(self, *arguments: str, settings: dict[str, str] | None = None) -> tuple[int, str]:
        """Exit code, and standard output after standard error."""
        given = self.settings if settings is None else settings
        done = subprocess.run(
            [BURNISH, *arguments],
            env=clean_environment() | {"COLUMNS": "200"} | given,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        self.said.append(done.stdout + done.stderr)
        return done.returncode, done.stderr + done.stdout

    def must(self, *arguments: str, settings: dict[str, str] | None = None) -> str:
        code, said = self.burnish(*arguments, settings=settings)
        assert code == 0, said
        return said

    def runs(self) -> list[str]:
        return [run.state for run in Ledger(self.home.ledger_path).runs(limit=-1)]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team_servers(tmp_path_factory.mktemp("team")) as team:
        yield team


@pytest.fixture(scope="module")
def story(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"), team)


@pytest.fixture
def joined(story: Story, monkeypatch: pytest.MonkeyPatch) -> Story:
    """This process, too, knows the servers."""
    for name, value in (story.settings | server_environment_of(story.settings)).items():
        monkeypatch.setenv(name, value)
    return story


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}


def test_nobody_without_credentials_is_let_in(team: Team) -> None:
    search = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    artifact = "/api/2.0/mlflow-artifacts/artifacts?path=1"
    for path in (search, artifact, "/", "/api/2.0/mlflow/registered-models/search"):
        assert team.ask("mlflow", "GET", path)[0] == 401, path
        assert team.ask("mlflow", "GET", path, basic("burnish:password1234"))[0] == 401, path
    assert team.ask("mlflow", "GET", search, basic(f"burnish:{team.secret('mlflow_admin')}"))[0] == 200
    flows = ("POST", "/api/flows/filter")
    assert team.ask("prefect", *flows, {"Content-Type": "application/json"}, "{}")[0] == 401
    assert team.ask("prefect", "GET", "/api/admin/version", basic("burnish:wrong"))[0] == 401
    assert team.ask("prefect", "GET", "/api/admin/version", basic(team.secret("prefect_auth")))[0] == 200


def test_mlflow_answers_under_its_own_name_only(team: Team) -> None:
    known = basic(f"burnish:{team.secret('mlflow_admin')}")
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert team.ask("mlflow", "GET", path, known | {"Host": "evil.example"})[0] == 403
    create = "/api/2.0/mlflow/experiments/create"
    foreign = known | {"Origin": "http://evil.example", "Content-Type": "application/json"}
    assert team.ask("mlflow", "POST", create, foreign, '{"name": "evil"}')[0] == 403


def test_prefects_pages_are_for_its_own_origin(team: Team) -> None:
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    assert team.ask("prefect", "OPTIONS", "/api/flows/", preflight)[0] in (400, 401)


@pytest.mark.parametrize("path", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%252e%252e%2fother"])
def test_artifact_paths_stay_in_the_store(path: str, team: Team) -> None:
    known = basic(f"burnish:{team.secret('mlflow_admin')}")
    for method in ("GET", "PUT", "DELETE"):
        status, body = team.ask("mlflow", method, f"/api/2.0/mlflow-artifacts/artifacts/{path}", known, "x")
        assert status in (400, 404), body
        assert "root:" not in body


def test_an_embedded_home_is_joined_to_the_servers_by_settings_alone(story: Story) -> None:
    alone = {"BURNISH_HOME": str(story.home.path)}
    story.must("run", str(story.recipe), settings=alone)
    story.must("promote", "coin", "--reason", "the first", settings=alone)
    assert story.home.mlflow_path.is_file()
    before = json.loads(story.must("models", "--json", settings=alone))

    code, said = story.burnish("doctor")
    assert (code, "MLflow has lost coin.sft/1" in said) == (1, True)
    story.must("doctor", "--fix")
    after = json.loads(story.must("models", "--json"))
    assert [(m["name"], m["version"], m["aliases"]) for m in after] == [
        (m["name"], m["version"], m["aliases"]) for m in before
    ]
    assert "champion" in {alias for m in after for alias in m["aliases"]}


def test_nothing_is_trained_again_after_the_move(story: Story) -> None:
    assert "sft" in story.must("run", str(story.recipe))
    last = Ledger(story.home.ledger_path).runs(limit=1)[0]
    assert {stage.state for stage in Ledger(story.home.ledger_path).run_stages(last.run_id)} == {"reused"}


def test_the_servers_pages_are_named_and_none_is_started(story: Story) -> None:
    said = json.loads(story.must("ui", "--json"))
    assert said == {"prefect": story.team.prefect_url.removesuffix("/api"), "mlflow": story.team.mlflow_url}
    assert not (story.home.path / "servers.json").exists()


def test_a_worker_of_a_process_pool_runs_the_recipe_on_its_schedule_and_skips_when_nothing_changed(
    story: Story,
) -> None:
    num_before = len(story.runs())
    deploy = ["deploy", str(story.recipe), "--set", "sft.steps=6", "--interval", "20"]
    story.must(*deploy)
    with process("worker", story.team.command("worker"), story.settings, story.folder):
        wait_until(lambda: story.team.answers("worker", "/health"), "the worker's health")
        wait_until(
            lambda: story.runs()[: -num_before or None].count("done") >= 2,
            f"2 runs: {story.folder}",
            RUN_SECONDS,
        )
    ledger = Ledger(story.home.ledger_path)
    *_, second, first = ledger.runs(limit=-1)[: -num_before or None]
    assert {s.stage: s.state for s in ledger.run_stages(first.run_id)}["sft"] == "done"
    assert {s.state for s in ledger.run_stages(second.run_id)} == {"reused"}
    assert first.flow_run_id is not None


def test_promotion_and_rollback_move_the_servers_aliases(joined: Story) -> None:
    client = MlflowClient(joined.home.mlflow_uri, joined.home.mlflow_uri)
    joined.must("promote", "coin.sft/2", "--override", "to have one to go back from")
    aliases = client.get_registered_model("coin.sft").aliases
    assert {name: int(v) for name, v in aliases.items() if name != "candidate"} == {
        "champion": 2,
        "previous": 1,
    }
    joined.must("rollback", "coin.sft", "--reason", "it was better")
    assert int(client.get_registered_model("coin.sft").aliases["champion"]) == 1
    assert joined.must("chat", "coin.sft@champion", "--prompt", "toss 1").strip()


def test_the_doctor_finds_the_home_and_the_servers_sound(story: Story) -> None:
    story.must("doctor", "--deep")


def test_a_second_home_is_refused_before_it_writes_anything(joined: Story, tmp_path: Path) -> None:
    client = MlflowClient(joined.home.mlflow_uri, joined.home.mlflow_uri)
    before = len(client.search_experiments())
    with pytest.raises(ServerError, match="serves another home"):
        ModelRegistry(joined.home.mlflow_uri, tmp_path / "artifacts")
    assert len(client.search_experiments()) == before


def test_what_is_fetched_is_what_was_registered_and_nothing_that_runs(joined: Story, tmp_path: Path) -> None:
    registry = ModelRegistry(joined.home.mlflow_uri, joined.home.mlflow_artifacts_dir)
    client = MlflowClient(joined.home.mlflow_uri, joined.home.mlflow_uri)
    model_id = str(client.get_model_version("coin.sft", "2").source).removeprefix("models:/")
    for name in ("training_args.bin", "modeling_evil.py"):
        (tmp_path / name).write_text("a pickle, say")
        client.log_model_artifact(model_id, str(tmp_path / name))
    fetched = registry.model_directory("coin.sft/2")
    assert fetched.is_relative_to(joined.home.fetched_models_dir)
    assert {path.suffix for path in fetched.rglob("*") if path.is_file()} <= {
        ".safetensors",
        ".json",
        ".jinja",
    }

    (tmp_path / "config.json").write_text('{"architectures": ["Other"]}')
    other = str(client.get_model_version("coin.sft", "1").source).removeprefix("models:/")
    client.log_model_artifact(other, str(tmp_path / "config.json"))
    for kept in joined.home.fetched_models_dir.glob(other):
        kept.rename(tmp_path / "aside")
    with pytest.raises(NotFoundError, match="not those that were registered"):
        registry.model_directory("coin.sft/1")


def test_an_unreachable_or_refusing_server_is_a_sentence(story: Story) -> None:
    for settings, sentence in [
        ({"MLFLOW_TRACKING_URI": f"http://u:sesame@{HOST}:9"}, "nothing answers there: connection refused"),
        ({"MLFLOW_TRACKING_PASSWORD": "sesame"}, "does not accept the user and password"),
    ]:
        code, said = story.burnish("models", settings=story.settings | settings)
        assert (code, sentence in " ".join(said.split()), "Traceback" in said) == (1, True, False), said
        assert "sesame" not in said
    wrong = story.settings | {"PREFECT_API_AUTH_STRING": "burnish:sesame"}
    code, said = story.burnish("run", str(story.recipe), "--force", "sft", settings=wrong)
    assert (code, "does not accept PREFECT_API_AUTH_STRING" in said) == (1, True), said
    assert "sesame" not in said


def test_no_secret_is_in_the_home_in_a_log_or_in_what_a_command_said(story: Story) -> None:
    everything = "".join(story.said)
    files = [path for path in story.folder.rglob("*") if path.is_file()]
    files += list(story.team.folder.glob("*.log"))
    assert any(path.suffix == ".db" for path in files)
    for secret in story.team.secrets:
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            assert form not in everything
            assert [str(path) for path in files if form.encode() in path.read_bytes()] == []
    with sqlite3.connect(story.home.ledger_path) as db:
        assert "sesame" not in "\n".join(db.iterdump())
