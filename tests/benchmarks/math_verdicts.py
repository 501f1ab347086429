r"""`python -m tests.benchmarks.math_verdicts`: verdicts on GSM8K and MATH answers, beside math-verify and TRL.

Rows are made from the public sets (BURNISH_REAL_DATA): each ground truth in the surface forms that policies
write, which is right by construction, and the same forms around a near miss (one digit changed, the sign
lost, digits swapped), which is wrong. Every contender judges the same rows in this process, one at a time.
math-verify and TRL get the ground truth in a box, which is how they read it best.
"""

import argparse
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from math_verify import parse, verify
from rich.console import Console
from rich.table import Table
from trl.rewards.accuracy_rewards import accuracy_reward

from data_contracts.verdict import PosedProblem
from stages.verifiers.gsm8k import gsm8k
from stages.verifiers.math_answer import math
from stages.verifiers.math_grading import grade_math

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
_CALCULATION = re.compile(r"<<[^<>]*>>")
_MONEY_OR_WORDS = re.compile(r"\\\$|\\text|\\mbox|%|circ|_")
_INTEGER = re.compile(r"-?\d+")
_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")

FORMS: dict[str, str] = {
    "boxed": r"Therefore the answer is $\boxed{ANSWER}$.",
    "boxed on a line": "Thus,\n\\[\n\\boxed{ANSWER}\n\\]",
    "bold box": "### Final Answer\n**$\\boxed{ANSWER}$**",
    "minerva": "Final Answer: The final answer is $ANSWER$. I hope it is correct.",
    "answer is": "The answer is $ANSWER$.",
    "bold answer": "**Answer:** $ANSWER$",
    "display": "The final answer is:\n$$\nANSWER\n$$",
    "four hashes": "#### ANSWER",
    "after a thought": "Is it 3? Or \\boxed{3}?</think>\nThe answer is \\boxed{ANSWER}.",
    "boxed twice": "So we get $\\boxed{ANSWER}$.\n\n**Final Answer**\n\\boxed{ANSWER}",
}
IN_WORDS: dict[str, str] = {
    "plain sentence": "So the total is ANSWER.",
    "with a unit": "The answer is ANSWER dollars.",
    "money in a box": r"She pays $\boxed{\$ANSWER}$",
    "text in a box": r"\boxed{ANSWER \text{ apples}}",
    "definition": r"\boxed{x = ANSWER}",
    "decimals": r"\boxed{ANSWER.00}",
}


@dataclass(frozen=True, slots=True)
class Row:
    source: str
    form: str
    completion: str
    problem: PosedProblem
    is_right: bool


def math_rows(rng: random.Random, count: int) -> Iterable[Row]:
    for line in (REAL_DATA / "math500" / "test.jsonl").read_text().splitlines()[:count]:
        row = json.loads(line)
        problem = PosedProblem(row["problem"], row["answer"])
        yield Row("MATH", "as solved", row["solution"], problem, is_right=True)
        for form, template in FORMS.items():
            written = rewritten(row["answer"], rng)
            yield Row("MATH", form, template.replace("ANSWER", written), problem, is_right=True)
            if (missed := near_miss(row["answer"], rng)) is not None:
                yield Row("MATH", form, template.replace("ANSWER", missed), problem, is_right=False)


def gsm8k_rows(rng: random.Random, count: int) -> Iterable[Row]:
    for line in (REAL_DATA / "gsm8k" / "test.jsonl").read_text().splitlines()[:count]:
        row = json.loads(line)
        steps, _, number = _CALCULATION.sub("", row["answer"]).rpartition("\n#### ")
        number = number.replace(",", "")
        problem = PosedProblem(row["question"], number)
        for form, template in (FORMS | IN_WORDS).items():
            right = f"{int(number):,}" if rng.random() < 0.5 else number
            for answer, is_right in ((right, True), (near_miss(number, rng), False)):
                ending = template.replace("ANSWER", answer or "0")
                yield Row("GSM8K", form, f"{steps}\n{ending}", problem, is_right)


def rewritten(answer: str, rng: random.Random) -> str:
    """The same in another spelling."""
    spellings = [answer, answer.replace("frac", "dfrac", 1) if r"\frac" in answer else f" {answer} "]
    if fraction := _FRACTION.fullmatch(answer):
        factor = rng.randrange(2, 6)
        spellings.append(rf"\frac{{{int(fraction[1]) * factor}}}{{{int(fraction[2]) * factor}}}")
        spellings.append(f"{fraction[1]}/{fraction[2]}")
    if _INTEGER.fullmatch(answer):
        spellings += [f"{int(answer):,}", f"{answer}.0", f"{int(answer):,}".replace(",", r"{,}")]
    if not _MONEY_OR_WORDS.search(answer):
        spellings.append(
            answer.replace("(", r"\left(")
            .replace(")", r"\right)")
            .replace("[", r"\left[")
            .replace("]", r"\right]")
        )
    return rng.choice(spellings)


def near_miss(answer: str, rng: random.Random) -> str | None:
    """One digit more or less, two swapped or the sign lost; None where the answer has no number."""
    digits = [match.start() for match in re.finditer(r"\d", answer)]
    if not digits:
        return None
    if _INTEGER.fullmatch(answer):
        swapped = answer[:-2] + answer[-1] + answer[-2] if len(answer.lstrip("-")) > 1 else answer
        candidates = [str(int(answer) + 1), str(int(answer) - 1), str(-int(answer)), swapped, answer + "0"]
        return rng.choice([miss for miss in candidates if int(miss) != int(answer)])
    position = rng.choice(digits)
    changed = str((int(answer[position]) + rng.randrange(1, 9)) % 10)
    return answer[:position] + changed + answer[position + 1 :]


def by_math_verify(row: Row) -> bool:
    return bool(verify(parse(rf"\boxed{{{row.problem.ground_truth}}}"), parse(row.completion)))


def by_trl(row: Row) -> bool:
    completion = [[{"role": "assistant", "content": row.completion}]]
    return accuracy_reward(completion, [rf"\boxed{{{row.problem.ground_truth}}}"]) == [1.0]


def by_tier_one(row: Row) -> bool | None:
    verdict = math(row.completion, row.problem)
    return None if verdict is None else verdict.reward == 1.0


def by_both_tiers(row: Row) -> bool:
    verdict = math(row.completion, row.problem) or grade_math(row.completion, row.problem)
    return verdict.reward == 1.0


def by_gsm8k(row: Row) -> bool | None:
    return gsm8k(row.completion, row.problem).reward == 1.0


CONTENDERS: dict[str, Callable[[Row], bool | None]] = {
    "burnish gsm8k": by_gsm8k,
    "burnish math, tier 1": by_tier_one,
    "burnish math, both": by_both_tiers,
    "math-verify": by_math_verify,
    "TRL accuracy_reward": by_trl,
}


def measure(table: Table, source: str, rows: list[Row], mistakes: Console | None) -> None:
    """Accuracy is over the rows decided; seconds are over all of them."""
    for name, judge in CONTENDERS.items():
        if name == "burnish gsm8k" and source != "GSM8K":
            continue
        started = time.perf_counter()
        judged = [judge(row) for row in rows]
        seconds = time.perf_counter() - started
        decided = [(row, said) for row, said in zip(rows, judged, strict=True) if said is not None]
        right = [said for row, said in decided if row.is_right]
        wrong = [said for row, said in decided if not row.is_right]
        accuracy = sum(row.is_right == said for row, said in decided) / len(decided)
        table.add_row(
            source,
            name,
            f"{len(decided) / len(rows):.1%}",
            f"{accuracy:.2%}",
            f"{right.count(False)} of {len(right)}",
            f"{wrong.count(True)} of {len(wrong)}",
            f"{len(rows) / seconds:,.0f}",
        )
        for row, said in decided:
            if mistakes and name.startswith("burnish") and row.is_right != said:
                mistakes.print(
                    f"{name} says {said}: {row.form}: {row.completion[-120:]!r} for {row.problem.ground_truth!r}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.math_verdicts", description=__doc__)
    parser.add_argument("--problems", type=int, default=150, help="of each set")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--mistakes", action="store_true", help="print each of ours")
    args = parser.parse_args()
    console = Console()
    table = Table(title="Verdicts by construction right or wrong", title_justify="left")
    for heading in (
        "set",
        "verifier",
        "decided",
        "accuracy",
        "right refused",
        "wrong rewarded",
        "verdicts/s",
    ):
        table.add_column(heading, justify="left" if heading in ("set", "verifier") else "right", no_wrap=True)
    for source, make in (("GSM8K", gsm8k_rows), ("MATH", math_rows)):
        rows = list(make(random.Random(args.seed), args.problems))
        by_both_tiers(rows[0])
        measure(table, source, rows, Console(markup=False, soft_wrap=True) if args.mistakes else None)
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
