"""Recipes on a schedule at a real Prefect server, by real workers. Slow: `make test-servers`."""

import itertools
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from infra.home import Home, open_home
from infra.ledger import Ledger
from infra.servers import Servers, running_servers, start_servers, stop_servers
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import PROJECT, wait_until
from tests.servers.test_servers import random_port

pytestmark = pytest.mark.servers

SHORT = ("--set", "sft.steps=1")
EVERY_TEN_SECONDS = ("--cron", "* * * * * */10")
PATIENCE = 600.0
_BURNISH = "import sys; sys.argv[0] = 'burnish'; from flows.cli.app import main; main()"


@dataclass
class World:
    """A home with servers of its own, and what its webhook was told."""

    home: Home
    servers: Servers
    recipe: Path
    told: list[dict[str, Any]] = field(default_factory=list)
    hook: str = ""

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.home.ledger_path)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return inherited | {
            "BURNISH_HOME": str(self.home.path),
            "PYTHONPATH": str(PROJECT),
            "HOOK": self.hook,
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }

    def burnish(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", _BURNISH, *map(str, arguments)]
        return subprocess.run(command, env=self.environment, text=True, capture_output=True, check=False)

    def flow_runs(self, deployment: str) -> list[dict[str, Any]]:
        """Those that were taken by a worker, oldest first."""
        wanted = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found = self.prefect("POST", "/flow_runs/filter", wanted)
        return [each for each in found if each["state_type"] != "SCHEDULED"]

    def states(self, deployment: str) -> list[str]:
        return [each["state_name"] for each in self.flow_runs(deployment)]

    def prefect(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        api = self.servers.prefect_api_url
        csrf = httpx.get(f"{api}/csrf-token?client=tests").json()["token"]
        headers = {"Prefect-Csrf-Token": csrf, "Prefect-Csrf-Client": "tests"}
        answer = httpx.request(method, f"{api}{path}", json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = open_home(tmp_path_factory.mktemp("home") / "burnish")
    servers = start_servers(home.path, random_port(), random_port())
    made = World(home, servers, write_coin(tmp_path_factory.mktemp("project")))

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server: socketserver.BaseServer = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.hook = f"http://127.0.0.1:{server.server_address[1]}/T0ken-of-the-hook"  # pyright: ignore
    yield made
    server.shutdown()
    stop_servers(home.path)


@pytest.fixture
def start(world: World, tmp_path: Path) -> Iterator[Callable[..., "Served"]]:
    """Starts commands that go on, and ends what the test left."""
    started: list[Served] = []

    def begin(*command: str | Path, environment: Mapping[str, str] | None = None) -> Served:
        log = tmp_path / f"{len(started)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=world.environment | (environment or {}),
                cwd=tmp_path,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(Served(process, log))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Served:
    """A worker at work."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)


def serve(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-c", _BURNISH, "serve", *arguments]


def test_a_cron_fires_twice_trains_once_and_promotes_what_is_better(
    world: World, start: Callable[..., Served]
) -> None:
    """Fires that come while the first is at work are cancelled; one that finds nothing to do says so."""
    notify = ("--notify", "webhook=env:HOOK", "--notify", "on=[success, promotion, failure]")
    served = start(*serve(world.recipe, *SHORT, *EVERY_TEN_SECONDS, "--promote", "if-better", *notify))
    wait_until(lambda: "NothingToDo" in world.states("coin"), "a run with nothing to do", PATIENCE)
    trained, *later = [run for run in reversed(world.ledger.runs("coin")) if run.flow_run_id is not None]
    assert trained.mlflow_run_id is not None
    assert later and all(run.mlflow_run_id is None for run in later)
    assert {stage.state for stage in world.ledger.run_stages(later[0].run_id)} == {"reused"}
    states = {each["id"]: each for each in world.flow_runs("coin")}
    first, nothing = states[trained.flow_run_id or ""], states[later[0].flow_run_id or ""]
    assert (first["state_type"], nothing["state_type"]) == ("COMPLETED", "COMPLETED")
    assert nothing["state"]["message"].startswith("Skipped: nothing to do, all 16 nodes are reused.")
    assert set(world.states("coin")) <= {
        "Completed",
        "NothingToDo",
        "Cancelled",
        "Pending",
        "Running",
        "Submitting",
    }
    ran = sorted((each["start_time"], each["end_time"]) for each in states.values() if each["end_time"])
    worked = [each for each in ran if each[0] != each[1]]
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(worked)), "never two at once"
    (decision,) = world.ledger.decisions("coin.grpo")
    assert (decision.kind, decision.to_version) == ("promote", 1)
    assert [(each["event"], each["models"]) for each in world.told] == [
        ("success", []),
        ("promotion", ["coin.grpo/1"]),
    ]
    assert {each["run"] for each in world.told} == {trained.run_id}
    second = world.burnish("serve")
    assert (second.returncode, "burnish serve (process" in second.stderr) == (2, True)
    assert served.end(signal.SIGINT) == 0
    assert running_servers(world.home.path) is not None, "they were there before"
    (deployment,) = world.prefect("POST", "/deployments/filter", {})
    assert deployment["paused"], "a schedule that is served lasts as long as its server"
    said = served.log.read_text()
    assert "Traceback" not in said
    assert "T0ken-of-the-hook" not in said
    for path in world.home.path.rglob("*"):
        assert not path.is_file() or b"T0ken-of-the-hook" not in path.read_bytes(), (
            f"{path} holds the webhook's address"
        )


def test_deploying_twice_changes_nothing_and_late_runs_are_made_up_for_by_one(
    world: World, start: Callable[..., Served]
) -> None:
    command = ("deploy", world.recipe, "--pool", "night", "--name", "nightly", "--json", *SHORT)
    first = world.burnish(*command, "--cron", "0 2 * * *", "--timezone", "Europe/Berlin")
    again = world.burnish(*command, "--cron", "0 2 * * *", "--timezone", "Europe/Berlin")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    made, same = json.loads(first.stdout), json.loads(again.stdout)
    assert (made.pop("is_new"), same.pop("is_new")) == (True, False)
    assert made == same
    assert all(datetime.fromisoformat(each).hour == 2 for each in made["next"])
    deployment = world.prefect("GET", f"/deployments/{made['id']}")
    assert [each["schedule"]["cron"] for each in deployment["schedules"]] == ["0 2 * * *"]
    assert deployment["job_variables"]["env"]["BURNISH_HOME"] == str(world.home.path)
    assert deployment["entrypoint"] == "flows.pipeline.post_training"
    assert world.prefect("GET", "/work_pools/night")["type"] == "process"
    for hours in (3, 2, 1):
        _fire(world, made["id"], datetime.now(UTC) - timedelta(hours=hours))
    start(
        *(sys.executable, "-m", "prefect", "worker", "start", "--pool", "night"),
        environment={"PREFECT_API_URL": world.servers.prefect_api_url, "PREFECT_HOME": str(world.home.path)},
    )
    over = {"Completed", "NothingToDo", "Cancelled"}
    wait_until(lambda: len(over_ := world.states("nightly")) == 3 and set(over_) <= over, "3 ends", PATIENCE)
    assert world.states("nightly").count("Cancelled") == 2


def test_another_home_cannot_take_a_deployments_name(world: World, tmp_path: Path) -> None:
    elsewhere = world.environment | {
        "BURNISH_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": world.servers.prefect_api_url,
    }
    command = [sys.executable, "-c", _BURNISH, "deploy", str(world.recipe), "--interval", "60"]
    mine = subprocess.run([*command, "--name", "nightly"], env=elsewhere, text=True, capture_output=True)
    assert (mine.returncode, "runs in another home" in mine.stderr) == (2, True)


def test_a_pool_of_a_type_we_cannot_use_is_refused(world: World) -> None:
    world.prefect("POST", "/work_pools/", {"name": "cloudy", "type": "cloud-run"})
    refused = world.burnish("deploy", world.recipe, "--interval", "60", "--pool", "cloudy")
    assert (refused.returncode, "is of type 'cloud-run'" in refused.stderr) == (2, True)


def test_no_server_where_the_environment_names_one_is_an_error_at_once(world: World) -> None:
    nowhere = world.environment | {"PREFECT_API_URL": f"http://127.0.0.1:{random_port()}/api"}
    command = [sys.executable, "-c", _BURNISH, "deploy", str(world.recipe), "--interval", "60"]
    refused = subprocess.run(command, env=nowhere, text=True, capture_output=True)
    assert (refused.returncode, "nothing answers there" in refused.stderr) == (1, True)


def test_the_committed_deployments_deploy(world: World) -> None:
    environment = world.environment | {
        "PREFECT_API_URL": world.servers.prefect_api_url,
        "GSM8K": "/data/gsm8k",
    }
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for command in (
        ["work-pool", "create", "burnish", "--type", "process", "--overwrite"],
        ["deploy", "--all"],
    ):
        done = subprocess.run(
            [*prefect, *command], cwd=PROJECT, env=environment, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    found = {each["name"]: each for each in world.prefect("POST", "/deployments/filter", {})}
    assert {"tiny", "gsm8k_calculator", "qwen_gsm8k"} <= found.keys()
    tiny = found["tiny"]
    assert tiny["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert tiny["global_concurrency_limit"]["limit"] == 1
    assert not tiny["pull_steps"]
    gsm8k = found["qwen_gsm8k"]
    assert gsm8k["parameters"]["overrides"]["gsm8k_test.path"] == "/data/gsm8k/test.jsonl"
    assert [each["active"] for each in gsm8k["schedules"]] == [False]


def _fire(world: World, deployment: str, when: datetime) -> UUID:
    """A run that was due while no worker was there."""
    details = {"scheduled_time": when.isoformat()}
    state = {"type": "SCHEDULED", "state_details": details}
    made = world.prefect("POST", f"/deployments/{deployment}/create_flow_run", {"state": state})
    return UUID(made["id"])
