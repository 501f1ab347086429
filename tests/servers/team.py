"""A team's servers as processes, from `infra/deploy/compose.yaml` itself: its commands, its settings, its secrets.

What differs is where they are: random ports of loopback, secrets and files at their place in the project, and for
the storage moto in place of SeaweedFS, which no package has. Every secret is drawn anew, so that a test can look
for it where it must not be.
"""

import contextlib
import http.client
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.make_secrets import make_secrets
from infra.server_process import any_free_port
from tests.pipeline.shell import PROJECT, wait_until

HOST = "127.0.0.1"
DEPLOY = PROJECT / "infra" / "deploy"
COMPOSE: Mapping[str, Any] = YAML(typ="safe").load(DEPLOY / "compose.yaml")
START_SECONDS = 180.0
_SERVERS = {"postgres": 5432, "storage": 8333, "mlflow": 5000, "prefect": 4200, "worker": 8080}
_POSTGRES_USER = "postgres"


@dataclass(frozen=True)
class Team:
    """Where the servers are, and what opens them."""

    folder: Path
    ports: Mapping[str, int]

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.ports['mlflow']}"

    @property
    def prefect_url(self) -> str:
        return f"http://{HOST}:{self.ports['prefect']}/api"

    @property
    def secrets_dir(self) -> Path:
        return self.folder / "secrets"

    def secret(self, name: str) -> str:
        return (self.secrets_dir / name).read_text()

    @property
    def secrets(self) -> list[str]:
        names = [path.name for path in self.secrets_dir.iterdir() if path.suffix != ".json"]
        return [self.secret(name) for name in names]

    def settings(self, home: Path) -> dict[str, str]:
        """What takes a home from its own servers to these: the settings of Compose's worker."""
        return self.environment("worker") | {
            "BURNISH_HOME": str(home),
            "PREFECT_HOME": str(self.folder / "client"),
        }

    def command(self, service: str) -> list[str]:
        """As the image's entry point runs it."""
        program, *arguments = [self._here(service, word) for word in COMPOSE["services"][service]["command"]]
        run = [sys.executable] if program == "python" else [sys.executable, "-m", program]
        return [sys.executable, "-m", "infra.with_secrets", *run, *arguments]

    def environment(self, service: str) -> dict[str, str]:
        given = COMPOSE["services"][service]["environment"]
        return {name: self._here(service, value) for name, value in given.items()} | {
            "PGPORT": str(self.ports["postgres"]),
            "PREFECT_WORKER_WEBSERVER_PORT": str(self.ports["worker"]),
        }

    def ask(
        self, server: str, method: str, path: str, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.ports[server], timeout=30)
        try:
            connection.request(method, path, body=body.encode(), headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def answers(self, server: str, path: str) -> bool:
        try:
            return self.ask(server, "GET", path)[0] == 200
        except OSError:
            return False

    def _here(self, service: str, text: str) -> str:
        """A word of the Compose file, with this machine's places in it."""
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
        for name, port in _SERVERS.items():
            own = name == service
            text = text.replace(f"{name}:{port}", f"{HOST}:{self.ports[name]}")
            text = text.replace(f"localhost:{port}", f"{HOST}:{self.ports[name]}") if own else text
            text = text.replace(f"--port={port}", f"--port={self.ports[name]}") if own else text
        places = {
            "/run/secrets": self.secrets_dir,
            "/etc/mlflow": DEPLOY / "mlflow",
            "/var/lib/burnish": self.folder / service,
            "/tmp": self.folder / service,
        }
        text = HOST if text == "postgres" else text.replace("--host=0.0.0.0", f"--host={HOST}")
        return re.sub("|".join(places), lambda place: str(places[place[0]]), text)


@contextlib.contextmanager
def team_servers(folder: Path) -> Iterator[Team]:
    """All of them, healthy; every process is gone when the context is left."""
    team = Team(folder, {name: any_free_port() for name in _SERVERS})
    make_secrets(team.secrets_dir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_postgres(team))
        stack.enter_context(_storage(team))
        for server in ("mlflow", "prefect"):
            environment = team.environment(server)
            stack.enter_context(process(server, team.command(server), environment, folder))
        for server, path in {"mlflow": "/health", "prefect": "/api/health"}.items():
            wait_until(
                lambda server=server, path=path: team.answers(server, path),
                f"{folder}/{server}.log",
                START_SECONDS,
            )
        yield team


@contextlib.contextmanager
def process(
    name: str, command: list[str], environment: Mapping[str, str], folder: Path, *, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a session and a log of its own, ended with everything below it."""
    with (folder / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(
            command,
            cwd=folder if user is None else "/",
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
        )
    try:
        yield started
    finally:
        _signal(started, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(30)
        _signal(started, signal.SIGKILL)
        started.wait()


def _signal(started: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, number)


def clean_environment() -> dict[str, str]:
    """This process's, without what would point a child at other servers."""
    prefixes = ("MLFLOW_", "PREFECT_", "PG", "AWS_", "BURNISH_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | {"PYTHONPATH": str(PROJECT)}


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs; skips the test where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return folders[-1]


@contextlib.contextmanager
def _postgres(team: Team) -> Iterator[None]:
    """PostgreSQL refuses to run as root, and its user may not enter a folder of root's."""
    programs = postgres_programs()
    user = _POSTGRES_USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="burnish-postgres-") as folder:
        data, password = Path(folder) / "data", Path(folder) / "password"
        password.write_text(team.secret("postgres"))
        if user:
            for path in (folder, password):
                shutil.chown(path, user)
        make = [
            "-D",
            str(data),
            f"--username={_POSTGRES_USER}",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
        ]
        subprocess.run([programs / "initdb", *make], cwd="/", user=user, check=True, capture_output=True)
        listen = ["-h", HOST, "-p", str(team.ports["postgres"]), "-k", folder, "-c", "fsync=off"]
        with process(
            "postgres", [f"{programs}/postgres", "-D", str(data), *listen], {}, team.folder, user=user
        ):
            environment = clean_environment() | {
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PGHOST": HOST,
                "PGPORT": str(team.ports["postgres"]),
                "PGUSER": _POSTGRES_USER,
                "PGPASSWORD": team.secret("postgres"),
                "SECRETS": str(team.secrets_dir),
            }
            wait_until(
                lambda: subprocess.run(["pg_isready", "-q"], env=environment).returncode == 0,
                "PostgreSQL",
                60,
            )
            subprocess.run(["sh", DEPLOY / "postgres" / "databases.sh"], env=environment, check=True)
            yield


@contextlib.contextmanager
def _storage(team: Team) -> Iterator[None]:
    pytest.importorskip("moto", reason="moto is not installed: make test-servers installs it")
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(team.ports["storage"])]
    with process("storage", command, {}, team.folder):
        wait_until(lambda: team.answers("storage", "/moto-api/"), "storage", 60)
        make_bucket, environment = team.command("bucket"), clean_environment() | team.environment("bucket")
        for _ in range(2):  # it may be started again
            subprocess.run(make_bucket, env=environment, check=True)
        yield
