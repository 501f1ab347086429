"""The watch: what it remembers, when it speaks, and that an interruption changes nothing."""

import json
from collections.abc import Iterable, Mapping
from math import nan

import pytest

from data_contracts.alarms import Alarm, AlarmPolicy, TrainingKind
from data_contracts.histories import History
from stages.alarms.evidence import Finding
from stages.alarms.rules import Rule, rules_for
from stages.alarms.watch import Watch
from tests.alarms.histories import FAULTS, faulty, healthy

Logged = Iterable[tuple[int, Mapping[str, float]]]

POLICY = AlarmPolicy(entropy_collapse="raise_entropy")


def alarms_of(watch: Watch, logged: Logged) -> list[Alarm]:
    return [alarm for step, metrics in logged for alarm in watch.look(step, metrics)]


def above_half(history: History) -> Finding | None:
    """The newest point is above 0.5."""
    step, value = history["m"][-1]
    return Finding(step, "m", f"{value}") if value > 0.5 else None


def steps_of_alarms(values: str, looks: int) -> list[int]:
    """At which step a rule speaks whose condition holds where there is an x."""
    watch = Watch([Rule("stall", ("m",), above_half, looks=looks)], AlarmPolicy())
    return [
        alarm.step
        for alarm in alarms_of(watch, ((at, {"m": float(c == "x")}) for at, c in enumerate(values)))
    ]


@pytest.mark.parametrize(
    ("values", "looks", "steps"),
    [
        ("x", 1, [0]),
        ("xx.xx.xx.", 3, []),
        (".xxx", 3, [3]),
        (".xxxxxxxx", 3, [3]),
        ("xx" + 9 * "." + "xx", 2, [1]),
        ("xx" + 10 * "." + "xx", 2, [1, 13]),
        ("xx" + 5 * "." + "x" + 9 * "." + "xx", 2, [1]),
    ],
)
def test_an_alarm_needs_looks_in_a_row_and_is_said_again_only_after_ten_without(
    values: str, looks: int, steps: list[int]
) -> None:
    assert steps_of_alarms(values, looks) == steps


def test_only_a_new_point_of_its_own_metric_is_a_look_of_a_rule() -> None:
    watch = Watch([Rule("stall", ("m",), above_half, beside=("n",), looks=2)], AlarmPolicy())
    assert alarms_of(watch, [(1, {"m": 1.0}), (2, {"n": 1.0}), (3, {"n": 1.0})]) == []
    assert [alarm.step for alarm in alarms_of(watch, [(4, {"m": 1.0})])] == [4]


def test_an_alarm_says_the_response_of_the_policy() -> None:
    training = faulty("grpo", "entropy collapses", 0)
    said = alarms_of(Watch(rules_for("grpo", int(training.steps[-1])), POLICY), training.logged())
    assert [alarm.response for alarm in said if alarm.name == "entropy_collapse"] == ["raise_entropy"]


def test_a_rule_that_is_off_is_not_asked() -> None:
    asked: list[int] = []

    def judge(history: History) -> Finding | None:
        asked.append(1)
        return Finding(0, "m", "always")

    watch = Watch([Rule("stall", ("m",), judge)], AlarmPolicy(stall="off"))
    assert alarms_of(watch, ((step, {"m": 1.0}) for step in range(10))) == []
    assert asked == []


def test_a_long_run_is_kept_in_64_points_that_are_means_of_what_was_logged() -> None:
    seen: list[list[tuple[int, float]]] = []

    def judge(history: History) -> Finding | None:
        seen.append(list(history["m"]))

    watch = Watch([Rule("stall", ("m",), judge)], AlarmPolicy())
    alarms_of(watch, ((step, {"m": float(step)}) for step in range(5000)))
    assert max(map(len, seen)) < 64
    assert len(seen) < 64 + 32 * 7  # every doubling of the run costs 32 looks
    stride = seen[-1][1][0]
    assert seen[-1] == [(step, step + (stride - 1) / 2) for step in range(0, 5000 // stride * stride, stride)]
    assert 5000 / stride >= 32


def test_values_that_are_no_numbers_are_left_out_of_the_points() -> None:
    seen: list[list[tuple[int, float]]] = []

    def judge(history: History) -> Finding | None:
        seen.append(list(history["m"]))

    watch = Watch([Rule("stall", ("m",), judge)], AlarmPolicy())
    alarms_of(watch, [(1, {"m": 1.0}), (2, {"m": nan}), (3, {"m": float("inf")}), (4, {"m": 2.0})])
    assert seen[-1] == [(1, 1.0), (4, 2.0)]


def _kind_of(fault: str) -> TrainingKind:
    if fault == "both fall":
        return "dpo"
    return "sft" if fault in ("loss jumps", "loss stays", "memorizes") else "grpo"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_interrupted_after_every_look_says_what_an_unbroken_one_says(fault: str) -> None:
    kind = _kind_of(fault)
    training = faulty(kind, fault, 3)
    rules = rules_for(kind, int(training.steps[-1]))
    unbroken = alarms_of(Watch(rules, POLICY), training.logged())
    broken: list[Alarm] = []
    state = Watch(rules, POLICY).state()
    for step, metrics in training.logged():
        watch = Watch(rules, POLICY)
        watch.restore(json.loads(json.dumps(state, allow_nan=False)))
        broken += watch.look(step, metrics)
        state = watch.state()
    assert unbroken and broken == unbroken


def test_one_interruption_anywhere_changes_nothing() -> None:
    training = faulty("grpo", "hacked, truth falls", 1)
    rules, logged = rules_for("grpo", int(training.steps[-1])), list(training.logged())
    unbroken = alarms_of(Watch(rules, POLICY), logged)
    first, states, said = Watch(rules, POLICY), [], []
    for step, metrics in logged:
        states.append((json.dumps(first.state(), allow_nan=False), len(said)))
        said += first.look(step, metrics)
    for cut, (state, num_said) in enumerate(states):
        second = Watch(rules, POLICY)
        second.restore(json.loads(state))
        assert alarms_of(second, logged[cut:]) == unbroken[num_said:]


def test_a_policy_that_switches_a_rule_off_or_on_continues_from_the_same_state() -> None:
    training = healthy("grpo", 1)
    rules = rules_for("grpo", int(training.steps[-1]))
    quiet = AlarmPolicy(entropy_collapse="off", gradient_explosion="off", not_finite="off")
    before = Watch(rules, quiet)
    alarms_of(before, training.logged())
    after = Watch(rules, AlarmPolicy())
    after.restore(before.state())
    step = int(training.steps[-1]) + 1
    assert [alarm.name for alarm in after.look(step, {"grpo/loss": nan})] == ["not_finite"]
    quieter = Watch(rules, quiet)
    quieter.restore(after.state())
    assert quieter.look(step + 1, {"grpo/loss": nan}) == ()
