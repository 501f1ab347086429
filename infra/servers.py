"""This home's own Prefect server and MLflow server, on loopback; `servers.json` names them.

Whatever works in the home joins them, so they outlive a starter that is killed. Who is to end them is in the
record: the process that keeps them, or nobody where they are to stay.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.errors import HomeError
from infra.home import Home, write_atomically
from infra.process_identity import is_same_process, this_process
from infra.run_server import STARTING
from infra.server_process import (
    HOST,
    Server,
    accepts_connections,
    choose_port,
    end,
    is_alive,
    is_healthy,
    spawn,
)

SERVE = "serve"
"""Lock of a home, held by the `burnish serve` at work in it."""

START_TIMEOUT_SECONDS = 180
_POLL_SECONDS = 0.1
_LOG_LINES_SHOWN = 15


class Servers(BaseModel):
    """The content of `servers.json`."""

    model_config = ConfigDict(frozen=True)

    prefect: Server
    mlflow: Server
    keeper: tuple[int, float] | None = None
    """The process that ends them when it ends, and its birth; None for servers that stay until somebody stops them."""

    @property
    def is_left(self) -> bool:
        """Whether the process that was to end them is gone."""
        return self.keeper is not None and not is_same_process(*self.keeper)

    @property
    def prefect_api_url(self) -> str:
        """The value of PREFECT_API_URL that joins this server."""
        return f"{self.prefect.url}/api"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a caller is told, ten times a second, while servers start."""

    seconds: float
    names: tuple[str, ...]
    """Servers that do not answer yet."""


def server_environment(home: Path) -> dict[str, str]:
    """What both servers need to see, and an ephemeral Prefect server of this home too; all offline.

    PREFECT_HOME alone decides the database, so either kind of Prefect server uses the same `prefect.db`.
    """
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # In its memory, as by default, a restart would lose them: a run at work would be crashed, or the place
        # of a dead one in its deployment never be free again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def start_servers(
    home: Path,
    prefect_port: int | None = None,
    mlflow_port: int | None = None,
    *,
    stay: bool = False,
    on_wait: Callable[[Waiting], None] = lambda _: None,
) -> Servers:
    """Start both and return once they answer; servers that run already are shared.

    They are this process's to end, or `stay`, as those that run already do then. Raises HomeError, with the end
    of its log, when a server dies or does not answer.
    """
    with Home(home).lock("servers", holder="starting the servers"):
        if running := running_servers(home):
            return _record(home, running.model_copy(update={"keeper": None})) if stay else running
        _stop(home)  # one of the two may have outlived the other, or a start was killed
        ports = choose_port(prefect_port, 4200), choose_port(mlflow_port, 5000)
        on_wait(Waiting(0, ("Prefect", "MLflow")))
        _require_mlflow_database(Home(home))
        with Home(home).lock(STARTING, holder="starting Prefect"):
            servers = _spawn_both(home, *ports, keeper=None if stay else this_process())
            try:
                _wait_until_healthy([servers.prefect, servers.mlflow], on_wait)
            except BaseException:
                _stop(home)
                raise
        return servers


def running_servers(home: Path) -> Servers | None:
    """The servers of this home, if both run and accept connections. Takes about a millisecond."""
    servers = _recorded(home)
    if servers and all(is_alive(it) and accepts_connections(it) for it in (servers.prefect, servers.mlflow)):
        return servers
    return None


def stop_servers(home: Path) -> None:
    """End the servers of this home, if any; returns when their processes are gone."""
    with Home(home).lock("servers", holder="stopping the servers"):
        _stop(home)


def release_servers(home: Path) -> None:
    """End the servers of this home, unless they are to stay or another process that is alive keeps them."""
    with Home(home).lock("servers", holder="stopping the servers"):
        servers = _recorded(home)
        if servers and (servers.is_left or servers.keeper == this_process()):
            _stop(home)


def _require_mlflow_database(home: Home) -> None:
    if not home.mlflow_path.exists():
        from infra.mlflow_database import create_database  # 2 s of imports, for a home's first start only

        create_database(home.own_mlflow_uri, home.mlflow_artifacts_dir)


def _spawn_both(home: Path, prefect_port: int, mlflow_port: int, keeper: tuple[int, float] | None) -> Servers:
    """Recorded before anybody waits for them, so that a start killed half-way leaves nothing unknown."""
    prefect, mlflow = _spawn_prefect(home, prefect_port), _spawn_mlflow(home, mlflow_port)
    return _record(home, Servers(prefect=prefect, mlflow=mlflow, keeper=keeper))


def _record(home: Path, servers: Servers) -> Servers:
    write_atomically(_record_path(home), servers.model_dump_json(indent=2))
    return servers


def _spawn_prefect(home: Path, port: int) -> Server:
    own_settings = {
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        # Unset, the page would call whichever server PREFECT_API_URL names.
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        # By default every web page that the user visits may write to this server.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }
    return spawn(
        ["prefect", "server", "start", "--host", HOST, "--port", str(port)],
        server_environment(home) | own_settings,
        name="Prefect",
        port=port,
        health_path="/api/health",
        log_path=Home(home).logs_dir / "prefect-server.log",
    )


def _spawn_mlflow(home: Path, port: int) -> Server:
    kept = Home(home)
    storage = [
        "--backend-store-uri",
        kept.own_mlflow_uri,
        "--default-artifact-root",
        str(kept.mlflow_artifacts_dir),
    ]
    address = ["--host", HOST, "--port", str(port), "--workers", "1"]
    return spawn(
        ["mlflow", "server", *storage, "--no-serve-artifacts", *address],
        server_environment(home),
        name="MLflow",
        port=port,
        health_path="/health",
        log_path=kept.logs_dir / "mlflow-server.log",
    )


def _wait_until_healthy(servers: list[Server], on_wait: Callable[[Waiting], None]) -> None:
    began = time.monotonic()
    while waiting := [it for it in servers if not (is_alive(it) and is_healthy(it))]:
        seconds = time.monotonic() - began
        on_wait(Waiting(seconds, tuple(server.name for server in waiting)))
        for server in waiting:
            if not is_alive(server):
                raise _start_error(server, "ended while it started")
            if seconds > START_TIMEOUT_SECONDS:
                raise _start_error(server, f"did not answer within {START_TIMEOUT_SECONDS} s")
        time.sleep(_POLL_SECONDS)


def _start_error(server: Server, what: str) -> HomeError:
    lines = server.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
    return HomeError(
        f"The {server.name} server {what}. The end of {server.log_path}:\n" + "\n".join(lines),
        f"an answer from {server.url}{server.health_path}",
        "Read the log, then start the servers again.",
    )


def _stop(home: Path) -> None:
    if servers := _recorded(home):
        for server in (servers.prefect, servers.mlflow):
            end(server)
        _record_path(home).unlink()


def _recorded(home: Path) -> Servers | None:
    try:
        servers = Servers.model_validate_json(_record_path(home).read_text())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise HomeError(
            f"{_record_path(home)} cannot be read.",
            "the record of this home's servers that Burnish wrote",
            "`burnish doctor --fix` removes it.",
        ) from error
    # A copied home has the record of the other's servers.
    return servers if servers.prefect.log_path.is_relative_to(home) else None


def _record_path(home: Path) -> Path:
    return home / "servers.json"
