"""Real servers in a home of their own. Slow: `make test-servers` runs them, the default run does not."""

import http.client
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data_contracts.errors import HomeError
from infra.home import Home, open_home
from infra.server_process import Server
from infra.servers import Servers, Waiting, running_servers, server_environment, start_servers, stop_servers

pytestmark = pytest.mark.servers

FOREIGN = {"Origin": "http://evil.example"}


def random_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path) -> Servers:
    return start_servers(home, random_port(), random_port())


def request(
    server: Server,
    method: str,
    path: str,
    headers: dict[str, str],
    body: str = "",
    *,
    host: str = "127.0.0.1",
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, server.port, timeout=10)
    connection.request(method, path, body=body.encode(), headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def is_running(server: Server) -> bool:
    return psutil.pid_exists(server.pid) and psutil.Process(server.pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = open_home(tmp_path_factory.mktemp("home")).path
    yield path
    stop_servers(path)


@pytest.fixture(scope="module")
def servers(home: Path) -> Servers:
    return start(home)


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Path]:
    path = open_home(tmp_path / "home").path
    yield path
    stop_servers(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_browser_on_this_machine_gets_both_pages(host: str, servers: Servers) -> None:
    for server in (servers.prefect, servers.mlflow):
        status, page = request(server, "GET", "/", {}, host=host)
        assert (status, page.lstrip()[:15].lower()) == (200, "<!doctype html>")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_pages_may_write_to_their_own_servers(host: str, servers: Servers) -> None:
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "prefect-csrf-token",
    }
    origin = {"Origin": f"http://{host}:{servers.prefect.port}"}
    status, _ = request(servers.prefect, "OPTIONS", "/api/flows/", origin | preflight)
    assert status == 200
    origin = {"Origin": f"http://{host}:{servers.mlflow.port}", "Content-Type": "application/json"}
    search = "/ajax-api/2.0/mlflow/experiments/search"
    status, _ = request(servers.mlflow, "POST", search, origin, '{"max_results": 1}', host=host)
    assert status == 200


def test_a_page_of_another_site_may_not_write(servers: Servers) -> None:
    # Without a content type a browser sends this to Prefect without asking first.
    status, body = request(servers.prefect, "POST", "/api/flows/", FOREIGN, '{"name": "evil"}')
    assert (status, "CSRF" in body) == (403, True)
    status, _ = request(
        servers.prefect, "OPTIONS", "/api/flows/", FOREIGN | {"Access-Control-Request-Method": "POST"}
    )
    assert status == 400
    create = "/ajax-api/2.0/mlflow/experiments/create"
    json_from_elsewhere = FOREIGN | {"Content-Type": "application/json"}
    status, _ = request(servers.mlflow, "POST", create, json_from_elsewhere, '{"name": "evil"}')
    assert status == 403
    status, _ = request(servers.mlflow, "GET", "/", {"Host": "evil.example"})
    assert status == 403


def test_prefects_page_calls_this_server_whatever_the_environment_says(servers: Servers) -> None:
    _, body = request(servers.prefect, "GET", "/ui-settings", {})
    assert json.loads(body)["api_url"] == servers.prefect_api_url


def test_starting_again_returns_the_running_servers(home: Path, servers: Servers) -> None:
    assert start(home) == running_servers(home) == servers


def test_running_servers_are_found_without_prefect_in_under_50_ms(home: Path, servers: Servers) -> None:
    code = (
        "import sys, time; from pathlib import Path; from infra.servers import running_servers\n"
        "began = time.perf_counter(); found = running_servers(Path(sys.argv[1]))\n"
        "seconds = time.perf_counter() - began\n"
        "assert found and seconds < 0.05, seconds\n"
        "assert not {'prefect', 'mlflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(home)], check=True)


def test_an_ephemeral_prefect_server_of_this_home_would_use_the_same_database(
    home: Path, servers: Servers
) -> None:
    code = (
        "from prefect.settings import get_current_settings\n"
        "print(get_current_settings().server.database.connection_url.get_secret_value())"
    )
    environment = os.environ | server_environment(home)
    url = subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=home, text=True).strip()
    open_files = [Path(file.path) for file in psutil.Process(servers.prefect.pid).open_files()]
    assert url == f"sqlite+aiosqlite:///{home / 'prefect' / 'prefect.db'}"
    assert home / "prefect" / "prefect.db" in open_files


def test_a_flow_runs_against_the_server(home: Path, servers: Servers) -> None:
    code = "from prefect import flow; print(flow(lambda: 42, name='answer')())"
    environment = os.environ | server_environment(home) | {"PREFECT_API_URL": servers.prefect_api_url}
    output = subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=home, text=True)
    assert output.strip() == "42"


_LEFT_OPEN = """
import sys
from pathlib import Path
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Running
from flows.crashed_flow_runs import end_crashed_flow_runs
from infra.home import Home
from infra.ledger import Ledger
from infra.process_identity import this_process

ledger = Ledger(Path(sys.argv[1]))
states = ("done", "failed", "crashed", "running")
with get_client(sync_client=True) as client:
    opened = [client.create_flow_run(flow(lambda: 1, name=state), state=Running()) for state in states]
    for state, flow_run in zip(states, opened):
        run_id = ledger.begin_run(state, {}, *this_process())
        ledger.note_run_ids(run_id, str(flow_run.id), None)
        if state != "running":
            ledger.end_run(run_id, state, None)
    end_crashed_flow_runs(ledger)
    print([client.read_flow_run(flow_run.id).state.name for flow_run in opened])
"""


def test_a_server_is_told_how_runs_ended_while_it_was_away(home: Path, servers: Servers) -> None:
    environment = os.environ | server_environment(home) | {"PREFECT_API_URL": servers.prefect_api_url}
    command = [sys.executable, "-c", _LEFT_OPEN, str(Home(home).ledger_path)]
    output = subprocess.check_output(command, env=environment, text=True)
    assert output.strip() == "['Completed', 'Failed', 'Crashed', 'Running']"


def test_a_record_of_servers_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text('{"prefect": 1')
    with pytest.raises(HomeError, match=r"servers\.json cannot be read"):
        running_servers(tmp_path)


def test_mlflows_page_shows_what_the_registry_wrote(home: Path, servers: Servers) -> None:
    code = (
        "import sys; from infra.home import Home; from pathlib import Path\n"
        "from infra.registry import ModelRegistry; home = Home(Path(sys.argv[1]))\n"
        "registry = ModelRegistry(home.mlflow_uri, home.mlflow_artifacts_dir)\n"
        "print(registry.start_pipeline_run('tiny', 'r1', 'name: tiny'))"
    )
    run_id = subprocess.check_output([sys.executable, "-c", code, str(home)], text=True).strip()
    artifact = f"/get-artifact?path=recipe.yaml&run_uuid={run_id}"
    assert request(servers.mlflow, "GET", artifact, {}) == (200, "name: tiny")


def test_two_starts_at_once_share_servers_and_stopping_leaves_nothing(empty_home: Path) -> None:
    home = empty_home
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(start, [home, home])
        assert first == second

        os.kill(first.mlflow.pid, signal.SIGKILL)
        while running_servers(home):  # the kernel takes a moment
            time.sleep(0.01)
        restarted = start(home)
        assert running_servers(home) == restarted
        assert not is_running(first.prefect), "the survivor of the first pair must not linger"

        stop_servers(home)
        assert running_servers(home) is None
        assert not is_running(restarted.prefect)
        assert not is_running(restarted.mlflow)
    assert [p.pid for p in psutil.process_iter(["cmdline"]) if str(home) in str(p.info["cmdline"])] == []


def test_a_server_that_dies_at_start_is_reported_with_its_log_and_takes_the_other_along(
    empty_home: Path,
) -> None:
    home = empty_home
    (home / "prefect").mkdir()
    (home / "prefect" / "prefect.db").write_text("this is no database" * 100)
    progress: list[Waiting] = []
    with pytest.raises(HomeError, match=r"(?s)Prefect server ended.*prefect-server\.log.*not a database"):
        start_servers(home, random_port(), random_port(), on_wait=progress.append)
    assert progress[0].names == ("Prefect", "MLflow")
    assert not (home / "servers.json").exists()
    assert [p.pid for p in psutil.process_iter(["cmdline"]) if str(home) in str(p.info["cmdline"])] == []


def test_a_port_that_is_taken_is_refused(servers: Servers, empty_home: Path) -> None:
    with pytest.raises(HomeError, match=f"Port {servers.prefect.port} .* is taken"):
        start_servers(empty_home, prefect_port=servers.prefect.port)


def test_a_reused_process_number_is_neither_believed_nor_killed(empty_home: Path, servers: Servers) -> None:
    home = empty_home
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    stale = servers.prefect.model_copy(update={"pid": bystander.pid, "birth": servers.prefect.birth - 1})
    (home / "servers.json").write_text(Servers(prefect=stale, mlflow=stale).model_dump_json())
    assert running_servers(home) is None
    stop_servers(home)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
