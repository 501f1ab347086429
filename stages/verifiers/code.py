"""Reward for a Python program that passes a problem's tests: HumanEval, MBPP, plain asserts, or printed output.

The program and its tests run in two sandboxes that share one line for calls. What the tests expect never
enters the process of the program, so there is nothing in it to read, patch or forge.
"""

from typing import Annotated, Literal, NotRequired, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from data_contracts.errors import DataError
from data_contracts.verdict import PosedProblem, Verdict
from stages.sandbox import SandboxKind, require_strong
from stages.verifiers.code_completion import has_fences, in_fence, programs_in
from stages.verifiers.code_plan import Case, HiddenTests, TestPlan, plan_asserts, plan_check
from stages.verifiers.code_policies import SCRIPTED
from stages.verifiers.code_runs import Outcome, Program, run_calls, run_cases
from stages.verifiers.verifier import Verifier

_SECONDS = 4.0
_FORMS = ("test", "test_list", "asserts", "cases")


@with_config(extra="forbid")
class CodeArguments(TypedDict):
    """Tests in exactly one of four forms: `test`, `test_list`, `asserts` or `cases`."""

    prompt: NotRequired[str]
    """With `test` (HumanEval): code that the program continues."""

    entry_point: NotRequired[str]
    test: NotRequired[str]
    """Defines `check(candidate)`."""

    test_list: NotRequired[list[str]]
    """MBPP's asserts, which the prompt shows."""

    test_setup_code: NotRequired[str]
    challenge_test_list: NotRequired[list[str]]
    """MBPP's asserts that the prompt does not show: hidden tests."""

    asserts: NotRequired[list[str]]
    cases: NotRequired[list[Case]]
    hidden: NotRequired[HiddenTests]
    reward: NotRequired[Literal["all", "fraction"]]
    """1 for all tests or nothing, or the share of visible tests passed. A hidden test that fails is 0 in both."""

    seconds: NotRequired[Annotated[float, Field(gt=0, le=60)]]
    """Processor time of the program in all its tests together; default 4. It may sleep for 4 s besides."""


def code(completion: str, problem: PosedProblem, **arguments: Unpack[CodeArguments]) -> Verdict:
    """Run the completion's program in the strongest sandbox there is.

    Raises SandboxError where that is none that contains it, DataError for tests that cannot be run.
    """
    return _judge(completion, problem, arguments, require_strong())


def code_in_limits(completion: str, problem: PosedProblem, **arguments: Unpack[CodeArguments]) -> Verdict:
    """The same where the person who runs it has said that resource limits will do."""
    return _judge(completion, problem, arguments, "limited")


def canonical_completion(problem: PosedProblem, **arguments: Unpack[CodeArguments]) -> str:
    """The ground truth in a fence; HumanEval's after the prompt that it continues."""
    return in_fence(arguments.get("prompt", "") + problem.ground_truth)


def code_verifier(sandbox: Literal["strong", "limited"]) -> Verifier:
    """The verifier under the sandbox that a recipe asks for."""
    function = "code" if sandbox == "strong" else "code_in_limits"
    return Verifier(
        thorough=f"stages.verifiers.code:{function}",
        summary="programs that pass their tests, run in a sandbox",
        arguments=CodeArguments,
        answers="solution",
        completion_of=canonical_completion,
        policies=SCRIPTED,
        wall_seconds=240.0,
        keeps_state=True,
    )


CODE = code_verifier("strong")
CODE_IN_LIMITS = code_verifier("limited")


def _judge(completion: str, problem: PosedProblem, arguments: CodeArguments, kind: SandboxKind) -> Verdict:
    form = _form(arguments)
    try:
        plan = None if form == "cases" else _plan(form, problem, arguments)
    except RecursionError as error:
        raise DataError(
            "The tests or the ground truth are nested too deeply to be read.",
            "source code that Python itself can read",
            "Fix the row or drop it.",
        ) from error
    blocks = programs_in(completion)
    if not blocks:
        return Verdict(0.0, "no program in completion")
    names = tuple(plan.names.values()) if plan else ()
    program = Program(blocks, arguments.get("prompt", ""), names, not has_fences(completion))
    seconds = arguments.get("seconds", _SECONDS)
    stops_early = arguments.get("reward", "all") == "all"
    if plan is not None:
        outcome = run_calls(kind, program, plan, seconds, stops_early)
        return _verdict(outcome, len(plan.units), plan.num_visible, stops_early)
    visible, hidden = arguments.get("cases", []), arguments.get("hidden", {}).get("cases", [])
    outcome = run_cases(kind, program, [*visible, *hidden], seconds, stops_early)
    return _verdict(outcome, len(visible) + len(hidden), len(visible), stops_early)


def _form(arguments: CodeArguments) -> str:
    """Which of the four forms the tests have. Raises DataError for none, several, or what does not go with it."""
    forms = [form for form in _FORMS if arguments.get(form)]
    if len(forms) != 1:
        raise DataError(
            f"The arguments hold tests in {len(forms)} forms{': ' * bool(forms)}{', '.join(forms)}.",
            f"tests in exactly one of {', '.join(_FORMS)}",
            "Fix the row's arguments.",
        )
    hidden = arguments.get("hidden", {})
    allowed = {"test": (), "cases": ("cases",)}.get(forms[0], ("asserts",))
    if foreign := [name for name in hidden if name not in allowed]:
        raise DataError(
            f"Hidden {foreign[0]} do not go with {forms[0]}.",
            "hidden asserts with asserts or test_list, hidden cases with cases",
            "Fix the row's arguments.",
        )
    if (forms[0] == "test") != all(arguments.get(name) for name in ("prompt", "entry_point")):
        raise DataError(
            f"The arguments prompt and entry_point do not go with {forms[0]}.",
            "both together with test (HumanEval), neither otherwise",
            "Fix the row's arguments.",
        )
    return forms[0]


def _plan(form: str, problem: PosedProblem, arguments: CodeArguments) -> TestPlan:
    if form == "test":
        prompt, entry_point = arguments.get("prompt", ""), arguments.get("entry_point", "")
        return plan_check(prompt, entry_point, arguments.get("test", ""), problem.ground_truth)
    visible = arguments.get("test_list") or arguments.get("asserts", [])
    hidden = [*arguments.get("challenge_test_list", []), *arguments.get("hidden", {}).get("asserts", [])]
    set_up = arguments.get("test_setup_code", "")
    return plan_asserts(tuple(visible), tuple(hidden), set_up, problem.ground_truth)


def _verdict(outcome: Outcome, num_tests: int, num_visible: int, all_or_nothing: bool) -> Verdict:
    if outcome.fault:
        raise DataError(
            f"The tests cannot be run: {outcome.fault}.",
            "tests that need the standard library only and hand over plain data, never functions of their own",
            "Drop the row.",
        )
    share = len([number for number in outcome.passed if number < num_visible]) / num_visible
    parts = {"visible_tests": share}
    if outcome.has_ended and len(outcome.passed) == num_tests:
        return Verdict(1.0, f"passes all {num_tests} tests", parts)
    fails_hidden = any(number not in outcome.passed for number in range(num_visible, num_tests))
    is_stopped = len(outcome.passed) == num_tests
    is_nothing = all_or_nothing or fails_hidden or is_stopped
    return Verdict(0.0 if is_nothing else share, outcome.reason, parts)
