"""Running a recipe from Python: what is refused before anything starts."""

import socket
from pathlib import Path

import pytest

from data_contracts.errors import ServerError
from flows import running
from flows.running import run_recipe


def test_a_prefect_server_that_does_not_answer_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.setattr(running, "start_fork_server", lambda preload: None)
        with pytest.raises(ServerError, match=f"PREFECT_API_URL is {url}, and nothing answers there"):
            run_recipe("tiny", until="base", home=tmp_path / "home")
