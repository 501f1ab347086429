"""Looks at a policy while it is trained, and what is done when an alarm goes off: a few steps of the tiny model."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from data_contracts.alarms import Alarm, AlarmPolicy, Response
from data_contracts.errors import AlarmError, Paused
from data_contracts.jobs import ModelInput, Progress, StageJob, StageResult
from data_contracts.rows import RowKind
from data_contracts.training_configs import GRPOConfig, SFTConfig
from stages import looks
from stages.alarms.watch import Watch
from stages.checkpoint import fingerprint_model, load_model, load_tokenizer
from stages.distance import DistanceFromStart
from stages.diversity import distinct_2, groups_of, self_similarity
from stages.grpo import train_grpo
from stages.handoff import encode
from stages.sft import train_sft
from stages.tiny_model import build_tiny_model
from tests.factories import make_job, write_input

SUMS = [(number, 3 * number + 1) for number in range(10, 18)]
PROBLEMS = [
    {
        "problem_id": f"{a}+{b}",
        "prompt": [{"role": "user", "content": f"{a}+{b}"}],
        "ground_truth": "",
        "verifier": "format",
        "arguments": json.dumps({"max_characters": 7}),
        "source": "sums",
    }
    for a, b in SUMS
]
CONVERSATIONS = [
    {
        "messages": [
            {"role": "user", "content": f"{a}+{b}"},
            {"role": "assistant", "content": f"it is {a + b}"},
        ],
        "source": "even" if a % 2 == 0 else "odd",
    }
    for a, b in SUMS
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelInput:
    path = tmp_path_factory.mktemp("models") / "base"
    build_tiny_model(seed=1, output=path)
    return ModelInput(name="base", path=path, fingerprint=fingerprint_model(path))


def sft(**fields: Any) -> SFTConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-2, "steps": 8, "global_batch": 4}
    return SFTConfig.model_validate(given | {"max_length": 64, "schedule": "constant"} | fields)


def grpo(**fields: Any) -> GRPOConfig:
    given = {"start": "base", "rows": "rows", "learning_rate": 1e-3, "steps": 4, "group_size": 4}
    lengths = {"prompts_per_step": 2, "max_prompt_length": 64, "max_completion_length": 12}
    return GRPOConfig.model_validate(given | lengths | fields)


def job_of(folder: Path, config: SFTConfig | GRPOConfig, base: ModelInput) -> StageJob:
    folder.mkdir()
    kind, rows = (RowKind.sft, CONVERSATIONS) if config.kind == "sft" else (RowKind.problems, PROBLEMS)
    job = make_job(folder, config, [write_input(folder, "rows", kind, list(rows))])
    job.work_dir.mkdir()
    watched = (write_input(folder, "watched", RowKind.problems, PROBLEMS[:3]),)
    is_watched = isinstance(config, GRPOConfig) and config.held_out is not None
    return job.model_copy(update={"start": base, "base": base, "compare_with": watched if is_watched else ()})


def trained(job: StageJob) -> StageResult:
    shutil.rmtree(job.output_dir, ignore_errors=True)
    config = job.config
    return train_sft(job, config) if isinstance(config, SFTConfig) else train_grpo(job, config)  # pyright: ignore


def told(job: StageJob) -> list[Progress]:
    return [Progress.model_validate_json(line) for line in job.progress_path.read_text().splitlines()]


def history(job: StageJob, name: str) -> list[tuple[int, float]]:
    return [(line.step, line.metrics[name]) for line in told(job) if name in line.metrics]


# Looks


def test_a_look_changes_nothing_that_is_trained(
    base: ModelInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = job_of(tmp_path / "seen", grpo(held_out={"rows": ["watched"], "every": 1}), base)
    result = trained(seen)
    monkeypatch.setattr(looks.Looks, "_look", lambda *_: None)
    unseen = job_of(tmp_path / "unseen", grpo(), base)
    assert trained(unseen).fingerprint == result.fingerprint
    assert history(seen, "grpo/reward") == history(unseen, "grpo/reward")


def test_held_out_problems_are_judged_at_the_beginning_every_so_often_and_at_the_end(
    base: ModelInput, tmp_path: Path
) -> None:
    job = job_of(
        tmp_path / "a", grpo(held_out={"rows": ["watched"], "every": 3}, max_completion_length=64), base
    )
    trained(job)
    found = history(job, "grpo/held_out/accuracy")
    assert [step for step, _ in found] == [0, 3, 4]
    low, high = history(job, "grpo/held_out/accuracy_low"), history(job, "grpo/held_out/accuracy_high")
    for (_, least), (_, accuracy), (_, most) in zip(low, found, high, strict=True):
        assert 0 <= least <= accuracy <= most <= 1
        assert accuracy * 3 == pytest.approx(round(accuracy * 3))


def test_a_completion_that_was_cut_off_is_not_right_although_its_verifier_says_so(
    base: ModelInput, tmp_path: Path
) -> None:
    """No completion of 12 tokens has more than 20 characters, and an untrained model hardly ever ends one."""
    easy = [{**problem, "arguments": json.dumps({"max_characters": 400})} for problem in PROBLEMS]
    job = job_of(tmp_path / "a", grpo(steps=1, held_out={"rows": ["watched"]}), base)
    job = job.model_copy(update={"compare_with": (write_input(tmp_path, "easy", RowKind.problems, easy),)})
    trained(job)
    finished = 1 - history(job, "grpo/completions/clipped_ratio")[0][1]
    assert history(job, "grpo/held_out/accuracy")[0][1] <= finished + 0.5
    assert history(job, "grpo/held_out/accuracy")[0][1] < 1


def test_each_source_of_a_mix_has_its_own_loss(base: ModelInput, tmp_path: Path) -> None:
    """At the beginning, against a loss worked out row by row with the model itself."""
    job = job_of(tmp_path / "a", sft(steps=2), base)
    trained(job)
    model, expected = load_model(base.path, "float32").eval(), {}

    tokenizer = load_tokenizer(base.path)
    for source in ("even", "odd"):
        total, count = 0.0, 0
        for row in (row for row in CONVERSATIONS if row["source"] == source):
            messages: Any = row["messages"]
            ids = encode(tokenizer, messages)
            begin = len(encode(tokenizer, messages[:1], prompt=True))
            with torch.no_grad():
                scores = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)
            total -= sum(float(scores[at - 1, ids[at]]) for at in range(begin, len(ids)))
            count += len(ids) - begin
        expected[source] = total / count
    for source, loss in expected.items():
        assert history(job, f"sft/loss/{source}")[0] == (0, pytest.approx(loss, rel=1e-4))


def test_the_distance_from_the_start_is_the_mean_of_k3_over_completion_tokens(base: ModelInput) -> None:
    """Worked out with numpy from log-probabilities of a model whose weights were changed."""
    config, random = grpo(), np.random.default_rng(0)
    policy = load_model(base.path, "float32").eval()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    ids = torch.tensor(random.integers(5, 20, (3, 6)))
    batch = {
        "prompt_ids": ids[:, :2],
        "prompt_mask": torch.ones(3, 2, dtype=torch.long),
        "completion_ids": ids[:, 2:],
        "completion_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]),
    }
    trainer = SimpleNamespace(_buffered_inputs=[batch])
    job = make_job(base.path.parent, config, []).model_copy(update={"start": base})
    with torch.no_grad():
        found = DistanceFromStart(trainer, job, config)(policy)["kl_to_start"]
    total, count = 0.0, 0
    start = load_model(base.path, "float32").eval()
    for row, length in enumerate((4, 2, 3)):
        whole = ids[row : row + 1, : 2 + length]
        with torch.no_grad():
            ours, theirs = (torch.log_softmax(m(whole).logits[0].double(), -1) for m in (policy, start))
        for at in range(2, 2 + length):
            d = float(theirs[at - 1, whole[0, at]] - ours[at - 1, whole[0, at]])
            total, count = total + np.exp(d) - d - 1, count + 1
    assert found == pytest.approx(total / count, rel=1e-3)
    assert found > 0
    trainer._buffered_inputs = None
    assert DistanceFromStart(trainer, job, config)(policy) == {}


@given(st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=2, max_size=6))
@settings(max_examples=200, derandomize=True)
def test_diversity_lies_between_all_alike_and_nothing_in_common(group: list[list[int]]) -> None:
    assert 0 <= distinct_2(group) <= 1
    assert 0 <= self_similarity(group) <= 1
    assert self_similarity([group[0]] * 3) == 1
    assert self_similarity(group) == pytest.approx(self_similarity(group[::-1]))


def test_diversity_of_two_completions_by_hand() -> None:
    group = [[1, 2, 3], [1, 2, 4]]  # bigrams 12 23 and 12 24: 3 of 4 different; 1 of 3 shared
    assert distinct_2(group) == 3 / 4
    assert self_similarity(group) == pytest.approx(1 / 3)
    assert groups_of(["a", "b", "a"], [[1], [2], [3]]) == [[[1], [3]], [[2]]]


# Responses


class Script(Watch):
    """Says one alarm at a step, whatever is measured."""

    response: Response

    def look(self, step: int, metrics: Mapping[str, float]) -> tuple[Alarm, ...]:
        if step != 5 or self._said["stall"].is_said or not metrics:
            return ()
        self._said["stall"].is_said = True
        return (
            Alarm(
                step=5,
                since=3,
                name="stall",
                metric="sft/loss",
                reason="it stands still",
                response=self.response,
            ),
        )


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Script]:
    script = type("FreshScript", (Script,), {})
    monkeypatch.setattr("stages.watching.Watch", script)
    return script


def policy(response: Response) -> AlarmPolicy:
    return AlarmPolicy(stall=response)


def alarms(job: StageJob) -> list[tuple[int, str, bool]]:
    return [(alarm.step, alarm.response, line.is_repeated) for line in told(job) for alarm in line.alarms]


def weights(job: StageJob) -> dict[str, Any]:
    return load_file(job.output_dir / "model.safetensors")


def test_an_alarm_that_is_only_noted_changes_nothing(
    base: ModelInput, tmp_path: Path, scripted: type[Script]
) -> None:
    scripted.response = "note"
    noted = job_of(tmp_path / "noted", sft(), base)
    result = trained(noted)
    assert alarms(noted) == [(5, "note", False)]
    assert "alarm at step 5: it stands still" in result.notes
    scripted.look = lambda *_: ()  # pyright: ignore[reportAttributeAccessIssue]
    assert trained(job_of(tmp_path / "plain", sft(), base)).fingerprint == result.fingerprint


def test_going_back_gives_the_weights_of_the_last_checkpoint_before_it_began(
    base: ModelInput, tmp_path: Path, scripted: type[Script]
) -> None:
    """A constant learning rate: they are those of a training of so many steps."""
    scripted.response = "back"
    job = job_of(tmp_path / "back", sft(alarms=policy("back")), base)
    result = trained(job)
    assert "back to the weights of step 3, from before stall" in result.notes
    assert result.metrics["sft/returned_to_step"] == 3
    shorter = job_of(tmp_path / "shorter", sft(steps=3), base)
    assert trained(shorter).fingerprint == result.fingerprint


def test_there_is_nothing_to_go_back_to_before_the_first_checkpoint(
    base: ModelInput, tmp_path: Path, scripted: type[Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.response = "back"
    monkeypatch.setattr("stages.sft.looks_every", lambda _: 4)
    job = job_of(tmp_path / "back", sft(alarms=policy("back")), base)
    with pytest.raises(AlarmError, match="since step 3, before its first checkpoint: it stands still"):
        trained(job)


def test_a_stage_that_an_alarm_stops_fails_with_its_reason(
    base: ModelInput, tmp_path: Path, scripted: type[Script]
) -> None:
    scripted.response = "stop"
    job = job_of(tmp_path / "stop", sft(alarms=policy("stop")), base)
    with pytest.raises(AlarmError, match="stopped at step 5 by stall: it stands still"):
        trained(job)
    assert max(line.step for line in told(job)) == 5


def test_a_paused_stage_goes_on_as_if_it_never_paused_and_the_alarm_counts_as_seen(
    base: ModelInput, tmp_path: Path, scripted: type[Script]
) -> None:
    scripted.response = "pause"
    job = job_of(tmp_path / "pause", sft(alarms=policy("pause")), base)
    with pytest.raises(Paused, match="paused at step 5: it stands still"):
        trained(job)
    job.progress_path.unlink()
    result = trained(job)
    assert alarms(job) == [(5, "pause", True)]
    steps = [step for step, _ in history(job, "sft/loss")]
    assert steps == [*range(1, 9)]
    scripted.look = lambda *_: ()  # pyright: ignore[reportAttributeAccessIssue]
    plain = job_of(tmp_path / "plain", sft(alarms=policy("pause")), base)
    assert trained(plain).fingerprint == result.fingerprint


def test_half_the_learning_rate_is_half_of_the_schedule(
    base: ModelInput, tmp_path: Path, scripted: type[Script]
) -> None:
    scripted.response = "halve_learning_rate"
    job = job_of(tmp_path / "a", sft(alarms=policy("halve_learning_rate"), schedule="linear"), base)
    trained(job)
    found = dict(history(job, "sft/learning_rate"))
    assert [found[step] for step in (4, 7, 8)] == pytest.approx(
        [1e-2 * 5 / 8, 0.5e-2 * 2 / 8, 0.5e-2 * 1 / 8]
    )


def test_more_entropy_is_a_bonus_in_the_loss(
    base: ModelInput, tmp_path: Path, scripted: type[Script]
) -> None:
    scripted.response = "raise_entropy"
    job = job_of(tmp_path / "a", grpo(steps=7, alarms=policy("raise_entropy")), base)
    trained(job)
    assert [step for step, bonus in history(job, "grpo/entropy_coef") if bonus == 0.005] == [6, 7]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"alarms": {"reward_hacking": "stop"}}, "sft has no alarm reward_hacking"),
        ({"alarms": {"stall": "raise_entropy"}}, "choose another response for sft"),
        ({"alarms": {"stall": "shout"}}, "shout|Input should be"),
    ],
)
def test_a_policy_for_what_a_stage_does_not_have_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sft(**fields)
