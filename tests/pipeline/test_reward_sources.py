"""Where rewards come from besides Burnish's own verifiers: a user's file, a judge, a reward model, all in real runs."""

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import StageError
from data_contracts.jobs import ModelInput, StageJob
from data_contracts.model_verifiers import JudgeSettings, RewardModelSettings
from data_contracts.rows import RowKind
from data_contracts.training_configs import GRPOConfig
from flows.recipe_files import read_recipe
from infra.home import Home
from infra.warehouse.warehouse import Warehouse
from stages import grpo
from stages.checkpoint import fingerprint_model
from stages.tiny_model import build_tiny_model
from tests.factories import make_job, write_input
from tests.pipeline.coin import write_coin
from tests.pipeline.shell import Shell
from tests.reward_models import write_reward_model

KEY = "sk-secret-4711-4712"

_MINE = """
import hashlib
import os
from pathlib import Path
from data_contracts.verdict import Verdict
from stages.verifiers.verifier import Verifier

def mine(completion, problem):
    fault, _, place = problem.ground_truth.partition(" ")
    if fault and not Path(place).exists():
        Path(place or "/").mkdir()
        if fault == "nan":
            return Verdict(float("nan"), "no number")
        raise KeyError("of my own")
    return Verdict(hashlib.sha256(completion.encode()).digest()[0] / 255, "a hash")

MINE = Verifier(quick=mine)
ALWAYS = Verifier(quick=lambda completion, problem: 1 / 0)
"""


# A user's file, in TRL's trainer


class Watched(grpo.GRPOTrainer):
    """Notes the advantages of every round."""

    advantages: list[list[float]]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        scored: Any = super()._generate_and_score_completions(inputs)
        self.advantages.append(scored["advantages"].tolist())
        return scored


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(Watched, "advantages", [], raising=False)
    monkeypatch.setattr(grpo, "GRPOTrainer", Watched)
    return Watched


def _job(folder: Path, truths: list[str], record: str) -> tuple[StageJob, GRPOConfig]:
    """Four problems a step and four completions each, judged by a verifier of the file."""
    build_tiny_model(seed=1, output=folder / "base")
    (folder / "mine.py").write_text(_MINE)
    config = GRPOConfig.model_validate(
        {
            "start": "base",
            "rows": "rows",
            "learning_rate": 1e-3,
            "steps": 2,
            "prompts_per_step": 4,
            "group_size": 4,
            "max_prompt_length": 64,
            "max_completion_length": 6,
        }
    )
    rows = [
        {
            "problem_id": f"p{number}",
            "prompt": [{"role": "user", "content": f"{number}+1"}],
            "ground_truth": truth,
            "verifier": "mine",
            "arguments": "{}",
            "source": "sums",
        }
        for number, truth in enumerate(truths)
    ]
    job = make_job(folder, config, [write_input(folder, "rows", RowKind.problems, rows)])
    job.work_dir.mkdir()
    base = ModelInput(name="base", path=folder / "base", fingerprint=fingerprint_model(folder / "base"))
    verifiers = {"mine": f"{folder / 'mine.py'}:{record}"}
    return job.model_copy(update={"start": base, "base": base, "verifiers": verifiers}), config


def test_a_completion_without_a_verdict_moves_nothing_and_lowers_nobody(
    tmp_path: Path, watched: type[Watched]
) -> None:
    """The others' advantages are their rewards less the mean of those of their group that have one."""
    faults = [f"raise {tmp_path / 'raised'}", "", "", f"nan {tmp_path / 'nan'}"]
    job, config = _job(tmp_path, faults, "MINE")
    result = grpo.train_grpo(job, config)
    rows = pq.read_table(job.rollouts_dir).to_pylist()
    rewards: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        assert row["reward"] == hashlib.sha256(row["completion"].encode()).digest()[0] / 255
        rewards[row["step"], row["problem_id"]].append(row["reward"])
    assert sorted(len(group) for group in rewards.values()) == [3, 3, *[4] * 6]
    expected = [reward - np.mean(group) for group in rewards.values() for reward in group]
    found = [advantage for advantages in watched.advantages for advantage in advantages]
    assert found.count(0.0) == 2, "an unjudged completion is not to move the policy"
    assert sorted(advantage for advantage in found if advantage) == pytest.approx(sorted(expected), abs=1e-6)
    assert result.metrics["grpo/without_verdict"] == 2 / 32
    (note,) = result.notes
    assert note.startswith("2 of 32 completions without a verdict left out (mine: ")


def test_a_verifier_that_always_fails_ends_the_stage_by_its_name(tmp_path: Path) -> None:
    job, config = _job(tmp_path, [""] * 4, "ALWAYS")
    with pytest.raises(StageError, match=r"16 of 16 .*: mine: ZeroDivisionError: division by zero"):
        grpo.train_grpo(job, config)


# Models that are asked, in a whole recipe


class JudgeServer(ThreadingHTTPServer):
    """Thinks 8 of 10 of what says 1, and 2 of the rest; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[bytes] = []
        self.authorizations: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/chat/completions"


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer  # pyright: ignore

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(body)
        self.server.authorizations.add(self.headers["Authorization"])
        asked = json.loads(body)["messages"][1]["content"]
        completion = asked.split("BEGIN completion ")[1].split("\n", 1)[1].split("\nEND completion ")[0]
        said = json.dumps({"score": 8 if "1" in completion else 2, "reason": "As I see it."})
        reply = json.dumps({"choices": [{"message": {"content": said}}], "usage": {"total_tokens": 50}})
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def judge() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


_ASKED = """\
verifiers:
  opinion:
    {{kind: judge, url: "{url}", model: m, rubric: Is it 1?, api_key_variable: JUDGE_KEY, cache: said.sqlite,
     max_calls: {calls}, max_total_tokens: 100000}}
  liked: {{kind: reward_model, model: models/liked}}
"""

_STAGES = """\
name: judged
seed: 3
base: {build: tiny-qwen3}
datasets:
  tosses: {path: tosses.jsonl}
  calls: {path: calls.jsonl, verifier: opinion}
stages:
  sft: {kind: sft, start: base, rows: [tosses], learning_rate: 4e-3, steps: 8, global_batch: 16, max_length: 32}
  check: {kind: verify, start: sft, rows: [calls], samples: 4, max_completion_length: 3}
  band: {kind: select, rows: [check], pass_rate: [0, 1]}
  grpo:
    {kind: grpo, start: sft, rows: [band], rewards: [problem, liked], combine: sum, learning_rate: 1e-3, steps: 2,
     prompts_per_step: 4, group_size: 4, max_prompt_length: 16, max_completion_length: 3}
"""


def _recipe(folder: Path, judge: JudgeServer, calls: int = 1000) -> Path:
    write_coin(folder)
    write_reward_model(folder / "models" / "liked")
    recipe = folder / "judged.yaml"
    recipe.write_text(_STAGES + _ASKED.format(url=judge.url, calls=calls))
    return recipe


@pytest.fixture
def shell(tmp_path: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """Commands of somebody who has a key for the judge."""
    home = tmp_path / "home"
    environment = {**environment, "BURNISH_HOME": str(home), "JUDGE_KEY": KEY}
    shell = Shell(home, environment, tmp_path / "shell.log")
    yield shell
    shell.close()


@pytest.mark.chaos  # only for its time
def test_a_recipe_rewards_by_a_judge_and_a_reward_model_beside_it(
    tmp_path: Path, judge: JudgeServer, shell: Shell
) -> None:
    (tmp_path / "project").mkdir()
    poor = shell.run("run", _recipe(tmp_path / "project", judge, calls=1))
    assert poor.code == 1
    assert "opinion: The judge was called 1 times" in poor.text
    assert "Raise max_calls" in poor.text

    recipe = _recipe(tmp_path / "project", judge)
    for _ in range(2):
        run = shell.run("run", recipe)
        assert run.code == 0, run.text
        assert KEY not in run.text
    assert judge.authorizations == {f"Bearer {KEY}"}
    assert len(set(judge.requests)) == len(judge.requests), (
        "nothing is asked twice, in whichever stage or run"
    )

    warehouse = Warehouse(Home(shell.home))
    checked = warehouse.reader.read(warehouse.get("judged.check")).to_pylist()
    assert len(checked) == 64
    assert {(row["reward"], row["reason"]) for row in checked} == {
        (0.8, "judge: As I see it."),
        (0.2, "judge: As I see it."),
    }
    assert all(row["reward"] == (0.8 if "1" in row["completion"] else 0.2) for row in checked)
    rollouts = [path for path in shell.home.rglob("*.parquet") if "step" in pq.read_schema(path).names]
    (trained,) = [pq.read_table(path).to_pylist() for path in rollouts]
    assert len(trained) == 32
    for row in trained:
        parts = json.loads(row["parts"])
        assert parts["problem"] == (0.8 if "1" in row["completion"] else 0.2)
        assert row["reward"] == pytest.approx((parts["problem"] + parts["liked"]) / 2)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "project" / "said.sqlite") in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_paths_of_verifiers_are_taken_from_the_recipes_folder(
    tmp_path: Path, judge: JudgeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    recipe = _recipe(tmp_path / "project", judge)
    hub = f"  far: {{kind: reward_model, model: someone/model, revision: {'a' * 40}}}\n"
    recipe.write_text(recipe.read_text() + hub)
    monkeypatch.chdir(tmp_path / "elsewhere")
    opinion, liked, far = read_recipe(recipe, ["verifiers.opinion.rubric=Is it 2?"]).verifiers.values()
    assert isinstance(opinion, JudgeSettings)
    assert isinstance(liked, RewardModelSettings)
    assert isinstance(far, RewardModelSettings)
    assert (opinion.model, opinion.cache) == ("m", tmp_path / "project" / "said.sqlite")
    assert liked.model == str(tmp_path / "project" / "models" / "liked")
    assert far.model == "someone/model"
    (overridden, *_) = read_recipe(recipe, ["verifiers.opinion.cache=said.sqlite"]).verifiers.values()
    assert isinstance(overridden, JudgeSettings)
    assert overridden.cache == tmp_path / "elsewhere" / "said.sqlite"
