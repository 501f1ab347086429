"""The code verifier on right programs in odd shapes, on the four forms of tests, and on the public sets."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import DataError, GroundTruthError
from data_contracts.verdict import PosedProblem, Verdict
from stages.sandbox import strongest
from stages.verifiers.code import CODE, CodeArguments, canonical_completion, code, code_in_limits
from stages.verifiers.code_completion import in_fence, programs_in
from stages.verifiers.code_policies import hard_coded

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SQUARES = PosedProblem("Square a number.", "def f(x):\n    return x * x")


def judge(completion: str, problem: PosedProblem = SQUARES, **arguments: object) -> Verdict:
    function = code_in_limits if strongest() == "limited" else code
    return function(completion, problem, **arguments)  # type: ignore[arg-type]


def reward(program: str, *asserts: str, solution: str = "", **arguments: object) -> float:
    return judge(in_fence(program), PosedProblem("", solution), asserts=list(asserts), **arguments).reward


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(x):\n    print('thinking', x)\n    return x * x", "f(7) == 49"),
        ("n = 0\ndef f(x):\n    global n\n    n += x\n    return n", "[f(1), f(1), f(1)] == [1, 2, 3]"),
        ("from typing import List\ndef f(x: List[int]) -> List[int]: return x[::-1]", "f([1, 2]) == [2, 1]"),
        ("import collections\ndef f(x): return collections.Counter(x)", "f('aab') == {'a': 2, 'b': 1}"),
        ("import math, re, itertools\ndef f(x): return list(itertools.chain(x, [math.pi]))", "len(f([1])) == 2"),
        ("def f(x):\n    yield from range(x)", "list(f(3)) == [0, 1, 2]"),
        ("import itertools\nf = itertools.count", "next(f(3)) == 3"),
        ("def f(x): return map(str, x)", "sorted(f([2, 1])) == ['1', '2']"),
        ("def f(x): return (1, x)", "f(2) == (1, 2)"),
        ("def f(x): return [1, x]", "f(2) != (1, 2)"),
        ("def f(x): return 1", "f(2) == True"),
        ("def f(x): return 1.0", "f(2) == 1"),
        ("def f(x): return True", "f(2) is True"),
        ("def f(x): return None", "f(2) is None"),
        ("def f(x): return 2 ** 200 + 1", "f(2) == 2 ** 200 + 1"),
        ("def f(x): return 0.1 + 0.2", "f(2) == 0.1 + 0.2"),
        ("def f(x): return float('inf')", "f(2) == float('inf')"),
        ("def f(x): return {(1, 'a'): {1, 2}, 'k': frozenset([3])}", "f(0) == {(1, 'a'): {2, 1}, 'k': {3}}"),
        ("def f(x): return b'\\x00\\xff'", "f(2) == b'\\x00\\xff'"),
        ("def f(x): return complex(1, x)", "f(2) == 1 + 2j"),
        ("def f(x): return '\\ud800 \\u2028 \\x00'", "f(2) == '\\ud800 \\u2028 \\x00'"),
        ("import datetime\ndef f(x): return datetime.date(2020, 1, x)", "str(f(2)) == '2020-01-02'"),
        ("from fractions import Fraction\ndef f(x): return Fraction(1, x)", "f(2) * 2 == 1"),
        ("from decimal import Decimal\ndef f(x): return Decimal('1.10')", "str(f(2)) == '1.10'"),
        ("def f(x): return range(x)", "f(3) == range(0, 3)"),
        ("def f(x): return {1: 2}.keys()", "f(3) == {1}"),
        ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(x): return P(x, 2)", "f(1) == (1, 2)"),
        ("from enum import IntEnum\nclass E(IntEnum):\n    A = 3\ndef f(x): return E.A", "f(1) == 3"),
        ("class f:\n    def __init__(self, x): self.x = x\n    def twice(self): return 2 * self.x", "f(4).twice() == 8"),  # noqa: E501
        ("def f(x):\n    def add(y): return x + y\n    return add", "f(1)(2) == 3"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x): return P(x)", "f(5).x == 5"),
        ("def f(x, kind): return [v for v in x if not isinstance(v, kind)]", "f([1, 'a'], int) == ['a']"),
        ("def f(*args, key=0): return sum(args) + key", "f(1, 2, key=3) == 6"),
        ("import threading\ndef f(x):\n    out = []\n    t = threading.Thread(target=out.append, args=(x,))\n"
         "    t.start(); t.join()\n    return out", "f(1) == [1]"),
        ("import asyncio\nasync def g(x): return x\ndef f(x): return asyncio.run(g(x))", "f(1) == 1"),
        ("import sys\nsys.setrecursionlimit(10**5)\ndef f(x): return x and f(x - 1) + 1", "f(5000) == 5000"),
        ("import os\ndef f(x):\n    with open('a', 'w') as file: file.write(x)\n    return open('a').read()", "f('b') == 'b'"),  # noqa: E501
        ("def f(x):\n    return x\nif __name__ == '__main__':\n    print(f(int(input())))", "f(1) == 1"),
        ("def f(x):\n    x.append(1)\n    return x", "f([0]) == [0, 1]"),
        ("class E(Exception): pass\ndef f(x): raise ValueError('no')", "isinstance(f, object)"),
        ("import random\ndef f(x): return random.Random(x).random()", "f(1) == f(1)"),
        ("f = lambda x: [0] * 100_000", "len(f(1)) == 100_000"),
    ],
)  # fmt: skip
def test_a_right_program_passes_whatever_its_shape(program: str, test: str) -> None:
    assert reward(program, f"assert {test}") == 1.0
    assert reward(program, f"assert not ({test})") == 0.0


def test_a_test_may_expect_an_exception() -> None:
    test = "try:\n    f(1)\n    assert False\nexcept FileNotFoundError as error:\n    assert 'gone' in str(error)"
    assert reward("def f(x): raise FileNotFoundError('gone')", test) == 1.0
    assert reward("def f(x): return 1", test) == 0.0
    assert reward("def f(x): raise ValueError('gone')", test) == 0.0


def test_a_program_that_shadows_a_builtin_is_the_one_tested() -> None:
    solution = "def sum(values):\n    return 'mine'"
    assert reward(solution, "assert sum([1]) == 'mine'", solution=solution) == 1.0
    assert reward("def add(v): pass", "assert sum([1]) == 'mine'", solution=solution) == 0.0


def test_the_share_of_tests_passed_is_a_reward_where_asked() -> None:
    asserts = ["assert f(1) == 1", "assert f(2) == 4", "assert f(-1) == 1", "assert f(-2) == 4"]
    positive = in_fence("def f(x): return x * x if x > 0 else 0")
    assert judge(positive, asserts=asserts, reward="fraction").reward == 0.5
    assert judge(positive, asserts=asserts).reward == 0.0
    hidden = {"asserts": ["assert f(0) == 0"]}
    assert judge(positive, asserts=asserts, reward="fraction", hidden=hidden).reward == 0.5
    failed = {"asserts": ["assert f(-3) == 9"]}
    assert judge(positive, asserts=asserts, reward="fraction", hidden=failed).reward == 0.0


def test_a_script_reads_and_prints() -> None:
    cases = [{"stdin": "2 3\n", "stdout": "5\n"}, {"stdin": "10 -1", "stdout": "9"}]
    add = "import sys\na, b = map(int, sys.stdin.read().split())\nprint(a + b, ' ')\n"
    assert judge(in_fence(add), cases=cases).reward == 1.0
    assert judge(in_fence(add + "exit()"), cases=cases).reward == 1.0
    main = "def main():\n    a, b = map(int, input().split())\n    print(a + b)\nif __name__ == '__main__':\n    main()"
    assert judge(in_fence(main), cases=cases).reward == 1.0
    late = "import atexit, os\na, b = map(int, os.read(0, 99).split())\natexit.register(print, a + b)"
    assert judge(in_fence(late), cases=cases).reward == 1.0
    for source in ("open('/dev/stdin')", "__import__('pathlib').Path('/dev/stdin').open()", "open(0)"):
        by_name = f"with {source} as file:\n    print(sum(map(int, file.read().split())))"
        assert judge(in_fence(by_name), cases=cases).reward == 1.0, source
    assert judge(in_fence(add.replace("' '", "' \\t\\n\\n'")), cases=cases).reward == 1.0
    assert judge(in_fence(add.replace("print(", "print('', ")), cases=cases).reward == 0.0
    assert judge(in_fence("print(5)"), cases=cases).reward == 0.0
    assert judge(in_fence("print(5)"), cases=cases, reward="fraction").reward == 0.5
    assert judge(in_fence("print(5)"), cases=cases[:1], hidden={"cases": cases[1:]}).reward == 0.0


PROMPT = 'from typing import List\n\ndef double(x):\n    return 2 * x\n\ndef f(xs: List[int]) -> int:\n    """Add."""\n'
CHECK = {
    "prompt": PROMPT,
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n    assert True",
}


@pytest.mark.parametrize(
    "completion",
    [
        "    return sum(xs)",
        "    total = 0\n    for x in xs:\n        total += x\n    return total",
        "return sum(xs)",
        "```python\ndef f(xs: List[int]) -> int:\n    return sum(xs)\n```",
        f"Sure:\n```python\n{PROMPT}    return sum(xs)\n```\nDone.",
        "<think>```python\nreturn 0\n```</think>```python\ndef f(xs):\n    return sum(xs)\n```",
        "```\nf = sum\n```",
        "```python\nwrong\n```\nbetter:\n```python\nf = sum\n```",
        "```python\nf = sum\n```\nrun:\n```bash\npython f.py\n```",
        "```Python\nf = sum",
        "def f(xs):\n    return sum(xs)",
        "    return (double(sum(xs)) // 2)",
    ],
)
def test_a_program_may_continue_the_prompt_or_stand_alone(completion: str) -> None:
    problem = PosedProblem(PROMPT, "    return sum(xs)\n")
    assert judge(completion, problem, **CHECK).reward == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "I do not know.",
        "<think>```python\nf = sum\n```</think>",
        "<think>```python\nf = sum\n```",
        "```python\nf = sum\n```\n```python\nf = max\n```",
        "```js\nf = sum\n```\n```c\nf = sum\n```",
        "```python\n```",
        "    return 3",
        "    pass",
        "    return",
    ],
)
def test_what_holds_no_right_program_is_wrong(completion: str) -> None:
    assert judge(completion, PosedProblem(PROMPT, "    return sum(xs)\n"), **CHECK).reward == 0.0


@pytest.mark.parametrize(
    "end", ["raise SystemExit(3)", "exit('no')", "1 / 0", "import os; os._exit(1)", "os.abort()"]
)
def test_a_script_that_fails_after_the_right_output_is_wrong(end: str) -> None:
    source = f"import os\nprint(int(input()) * 2, flush=True)\n{end}"
    assert judge(in_fence(source), cases=[{"stdin": "3", "stdout": "6"}]).reward == 0.0
    right = source.replace(end, "raise SystemExit(0)")
    assert judge(in_fence(right), cases=[{"stdin": "3", "stdout": "6"}]).reward == 1.0


DOUBLE = "def f(x):\n    return x * 2\n"


@pytest.mark.parametrize(
    "completion",
    [
        f"```python\n{DOUBLE}```\nExample usage:\n```python\nprint(f(3))  # 6\n```",
        f"```python\n{DOUBLE}```\n```python\nassert f(3) == 7\ninput()\n```\n```python\n6\n```",
        "```python\ndef h(x):\n    return x * 2\n```\nand\n```python\ndef f(x):\n    return h(x)\n```",
        "```python\ndef f(x):\n    return h(x)\n```\nwith\n```python\ndef h(x):\n    return x * 2\n```",
        "```python\nimport math\nTWO = 2\nprint(1 / 0)\n```\n```python\ndef f(x):\n    return math.prod([x, TWO])\n```",
        "```python\nfrom __future__ import annotations\ndef h(x: no):\n    return x * 2\n```\n"
        "```python\nfrom __future__ import annotations\ndef f(x: no):\n    return h(x)\n```",
        "```python\ndef f(x):\n    return 0\n```\nbetter:\n```python\nf = lambda x: x * 2\n```",
        f"```\n{DOUBLE}```\nOutput:\n```\n6\n```",
        f"```\n{DOUBLE}```\nOutput:\n```text\n6\n```",
        f"```text\nplan\n```\n```{{python}}\n{DOUBLE}```",
        f"```text\nplan\n```\n```python3.10\n{DOUBLE}```",
        f"```text\nplan\n```\n```py\n{DOUBLE}```",
        f"```text\nplan\n```\n```Python 3\n{DOUBLE}```",
        f"```python:main.py\n{DOUBLE}```",
        f"Sure! ```python\n{DOUBLE}```",
        f"Use ```code``` fences.\n```python\n{DOUBLE}```",
        "1. Solution:\n\n   ```python\n   def f(x):\n       return x * 2\n   ```\n",
        "1. ```python\n   def f(x):\n       return x * 2\n   ```\n   Done.",
        f"```python\n{DOUBLE}`````\n\nThis works.",
        f"~~~python\n{DOUBLE}~~~",
        f"````python\n{DOUBLE}````\n```\n6\n```",
        f"```python\n{DOUBLE.strip()}```\nIt works.",
        f"```python\n\ufeff{DOUBLE}```",
        f"\ufeff{DOUBLE}",
        f"[BEGIN]\n{DOUBLE}[DONE]",
        f"{DOUBLE}[DONE]\nproblem 2",
        f"Here:\n[BEGIN]\n{DOUBLE}[DONE]\n",
        "```python\ndef f(x):\n    \"\"\"Double.\n    ```\n    f(1)\n    ```\n    \"\"\"\n    return x * 2\n```\nDone.",
        "```python\n    def f(x):\n        return x * 2\n```",
        "```python\r\n" + DOUBLE.replace("\n", "\r\n") + "```\r\n",
        f"```python\n{DOUBLE}",
        "> ```python\n> def f(x):\n>     return x * 2\n> ```\n\nDone.",
        f"```python\n{DOUBLE}```\nUsage:\n```python\nfrom solution import f\nprint(f(3))\n```",
        "```python\ndef f(x: Optional[List[int]]) -> float:\n    y: Dict[str, Any] = {}\n    return x * 2\n```",
        "```python\nclass List: pass\ndef f(x: List):\n    return x * 2\n```",
        f"Here's the function, it's easy:\n\n{DOUBLE}\nThat's all.",
        f"Here is it:\n{DOUBLE}This doubles `x`.",
        f"Answer\n\n{DOUBLE}\nNote: simple\nDone",
        f"1. Double x (see below\n2. Return it\n\n{DOUBLE}",
        "Helper:\n\ndef h(x):\n    return x * 2\n\nand then:\n\ndef f(x):\n    return h(x)\n\nIt's O(1).",
        "Write this:\n\n    def f(x):\n        return x * 2\n\nand you're done.",
        f"<answer>\n{DOUBLE}</answer>",
        f"{DOUBLE}\n>>> f(2)\n4\n",
        f"{DOUBLE}\ndef g(x):\n    print('cut o",
        "Sure:\r\n\r\ndef f(x):\r\n    return x * 2\r\n\r\nIt's done.\r\n",
    ],
)  # fmt: skip
def test_the_program_is_found_in_the_usual_completions(completion: str) -> None:
    problem = PosedProblem("", DOUBLE)
    assert judge(completion, problem, asserts=["assert f(3) == 6", "assert f(0) == 0"]).reward == 1.0
    wrong = completion.replace("* 2", "+ 2").replace("prod", "fsum")
    assert judge(wrong, problem, asserts=["assert f(3) == 6", "assert f(0) == 0"]).reward == 0.0


@pytest.mark.parametrize(
    "completion",
    [
        "```\nprint(int(input()) * 2)\n```\nOutput:\n```\n6\n```",
        "```\nprint(int(input()) * 2)\n```\nOutput:\n```\nYES\n```",
        "```python\ndef h(x): return x * 2\nh(input())\n```\n```python\nprint(h(int(input())))\n```",
        "Read, and print twice that:\n\nprint(int(input()) * 2)\n\nIt's done.",
        "First\nn = int(input())\nprint(n * 2)\nComplexity: constant",
    ],
)
def test_a_script_is_the_last_block_that_does_something(completion: str) -> None:
    assert judge(completion, cases=[{"stdin": "3", "stdout": "6"}]).reward == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "    y = x\n    return y * 2",
        "y = x\nreturn y * 2",
        "y = x\n    return y * 2",
        "```python\ny = x\n    return y * 2\n```",
        "if x:\n        return x * 2\n    return 0",
        "  y = x\n  return y * 2",
        "\ty = x\n\treturn y * 2",
        "        y = x\n        return y * 2",
        "\n    return x * 2",
        "    def f(x):\n        return x * 2",
        "```python\n    def f(x):\n        return x * 2\n```",
        "    return g(x)\n\ndef g(x):\n    return x * 2",
        "def g(a):\n    return a * 2\nreturn g(x)",
        "def f(a):\n    return a * 2\nreturn f(x)",
        "f, g = (lambda x: x * 2), None",
        "if True:\n    def f(x: List[int]): return x * 2",
        "```python\n    return x * 2\n```\nUsage:\n```python\nprint(f(3))\n```",
        "```python\ndef f(x):\n    return x * 2\n```\nUsage:\n```python\nprint(f(3))\n```",
        "    return x * 2\n\nIt's twice x.",
        "    y = x\n    return y * 2\n\n\ndef other(x):\n    'Cut off",
        "y = x\nreturn y * 2\nThat's it.",
        "Here's the rest:\n\ndef f(x: List[int]) -> int:\n    return x * 2\n\nDone, isn't it?",
    ],
)
def test_a_body_may_have_lost_its_indentation(completion: str) -> None:
    prompt = 'from typing import List\n\n\ndef f(x: int) -> int:\n    """Double."""\n'
    test = "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(0) == 0\n"
    arguments = {"prompt": prompt, "entry_point": "f", "test": test}
    problem = PosedProblem(prompt, "    return x * 2\n")
    assert judge(completion, problem, **arguments).reward == 1.0
    assert judge(completion.replace("* 2", "* 3"), problem, **arguments).reward == 0.0


@pytest.mark.parametrize(
    "test",
    [
        "def check(candidate):\n    assert candidate(1) == 1\n    try:\n        candidate(-1)\n"
        "        assert False, 'should raise'\n    except ValueError:\n        pass",
        "def check(candidate):\n    assert candidate(1) == 1\n    def one(a, b):\n        assert candidate(a) == b\n"
        "    one(1, 1)\n    one(2, 4)",
        "def same(a, b):\n    assert a == b\ndef check(candidate):\n    assert candidate(1) == 1\n"
        "    same(candidate(2), 4)",
        "def same(a, b):\n    assert a == b\ndef check(candidate):\n    same(candidate(2), 4)",
        "def same(a, b):\n    assert a == b\ndef both(a, b):\n    same(a, b)\ndef check(candidate):\n"
        "    both(candidate(2), 4)",
        "def check(candidate):\n    assert candidate(1) == 1\n    if candidate(2) != 4: raise AssertionError('no')",
        "import unittest\ndef check(candidate):\n    class T(unittest.TestCase):\n        def test_a(self):\n"
        "            self.assertEqual(candidate(2), 4)\n    T().test_a()",
        "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)\ndef extra():\n    assert f(2) == 4\nextra()",
        "def check(candidate):\n    assert candidate(1) == 1\nassert f(2) == 4",
        "def check(candidate):\n    assert candidate(1) == 1\n    {4: 4}[candidate(2)]",
        "def check(candidate):\n    assert candidate(1) == 1\n    one = {4: 1}[candidate(2)]\n    assert one",
        "def check(candidate):\n    assert candidate(1) == 1\n    (_,) = [1] * (candidate(2) == 4)",
        "def check(candidate):\n    for x, y in [(1, 1), (2, 4)]:\n        assert candidate(x) == y",
        "def check(candidate):\n    if candidate(2) != 4:\n        return\n    assert candidate(1) == 1",
    ],
)
def test_whatever_stops_the_tests_is_a_failure(test: str) -> None:
    prompt = 'def f(x):\n    """Square, of what is not negative."""\n'
    right = "    if x < 0: raise ValueError\n    return x * x\n"
    arguments = {"prompt": prompt, "entry_point": "f", "test": test}
    assert judge(right, PosedProblem(prompt, right), **arguments).reward == 1.0
    for reward in ("all", "fraction"):
        verdict = judge("    return 1", PosedProblem(prompt, right), **arguments, reward=reward)
        assert verdict.reward < 1.0 and verdict.reason, reward


def test_asserts_may_be_said_by_functions() -> None:
    raises = "try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass"
    assert reward("def f(x): raise ValueError", raises) == 1.0
    assert reward("def f(x): return 1", raises) == 0.0
    arguments: dict[str, Any] = {"test_setup_code": "def same(a, b):\n    assert a == b"}
    arguments["test_list"] = ["same(f(2), 4)"]
    assert judge(in_fence(SQUARES.ground_truth), **arguments).reward == 1.0
    assert judge(in_fence("def f(x): return 2"), **arguments).reward == 0.0


def test_constant_asserts_are_no_tests() -> None:
    problem = PosedProblem(PROMPT, "    return sum(xs)\n")
    assert judge("    return 3", problem, **CHECK, reward="fraction").reward == 0.5


@pytest.mark.parametrize(
    ("ground_truth", "arguments"),
    [
        ("def f(x): return x", {}),
        ("def f(x): return x", {"asserts": []}),
        ("def f(x): return x", {"asserts": ["assert f(1) == 1"], "cases": [{"stdin": "", "stdout": ""}]}),
        ("def f(x): return x", {"asserts": ["f(1)"]}),
        ("def f(x): return x", {"asserts": ["assert f(1) =="]}),
        ("def f(x): return x", {"asserts": ["assert True"]}),
        ("def f(x): return x", {"asserts": ["assert (f(1) == 2, 'message')"]}),
        ("def f(x): return x", {"asserts": ["assert 1 + 1 == 2"]}),
        ("from math import gcd", {"asserts": ["assert gcd(4, 6) == 2"]}),
        ("def f(x): return x", {"asserts": ["assert " + "+".join(["f(1)"] * 4000) + " == 4000"]}),
        ("def f(x): return x", {"asserts": ["assert f(1) == 1\nreturn"]}),
        ("def f(x) return", {"asserts": ["assert f(1) == 1"]}),
        ("import numpy_that_is_not_there\ndef f(x): return x", {"asserts": ["assert f(1) == 1"]}),
        ("def f(g): return g(1)", {"asserts": ["assert f(lambda x: x) == 1"]}),
        ("def f(x): return x", {"asserts": ["assert f(1) == 1"], "hidden": {"cases": []}}),
        ("    return 1", {"test": "def check(candidate):\n    assert candidate() == 1"}),
        ("    return 1", {"prompt": "def f(:\n", "entry_point": "f", "test": CHECK["test"]}),
        ("    return 1", {**CHECK, "test": "def check(candidate):\n    candidate([])"}),
        ("    return 1", {**CHECK, "test": "assert 1 == 1"}),
        ("  return 1\n return", CHECK),
    ],
)
def test_a_problem_that_cannot_be_checked_is_an_error(
    ground_truth: str, arguments: dict[str, object]
) -> None:
    with pytest.raises(DataError) as caught:
        judge(in_fence("def f(*a): return a[0](1)"), PosedProblem("", ground_truth), **arguments)
    assert caught.value.expected and caught.value.do


def test_a_ground_truth_that_is_no_python_is_named() -> None:
    with pytest.raises(GroundTruthError):
        judge("", PosedProblem("", "def f(x) return"), asserts=["assert f(1) == 1"])


@pytest.mark.parametrize("seconds", [0, -1, 60.5, 1e9, "3"])
def test_the_limit_of_time_is_bounded(seconds: object) -> None:
    document = json.dumps({"asserts": ["assert f(1) == 1"], "seconds": seconds})
    with pytest.raises(ValidationError):
        TypeAdapter(CodeArguments).validate_json(document, strict=True)


def test_no_row_can_lower_the_sandbox() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(CodeArguments).validate_json(
            '{"asserts": ["assert f(1)"], "sandbox": "limited"}', strict=True
        )
    assert CODE.quick is None and CODE.thorough == "stages.verifiers.code:code"


@given(st.text(alphabet="`~pyton3 \n\t</hik>x=1"))
@settings(derandomize=True, max_examples=500)
def test_reading_a_program_never_raises(completion: str) -> None:
    assert all(program.strip() for program in programs_in(completion))


def canonical_failures(rows: list[dict[str, str]], names: tuple[str, ...], solution: str) -> list[str]:
    failures: list[str] = []
    for row in rows:
        arguments = {name: row[name] for name in names}
        problem = PosedProblem("", row[solution])
        if judge(canonical_completion(problem, **arguments), problem, **arguments).reward != 1.0:  # type: ignore[arg-type]
            failures.append(row["task_id"])
    return failures


@pytest.mark.skipif(not (REAL_DATA / "humaneval").is_dir(), reason="BURNISH_REAL_DATA has no humaneval")
def test_all_canonical_solutions_of_humaneval_are_right() -> None:
    with gzip.open(REAL_DATA / "humaneval" / "HumanEval.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == 164
    assert canonical_failures(rows, ("prompt", "entry_point", "test"), "canonical_solution") == []


@pytest.mark.skipif(not (REAL_DATA / "mbpp").is_dir(), reason="BURNISH_REAL_DATA has no mbpp")
def test_canonical_solutions_of_mbpp_are_right_and_others_wrong() -> None:
    lines = (REAL_DATA / "mbpp" / "mbpp.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][::8]
    names = ("test_list", "test_setup_code", "challenge_test_list")
    assert canonical_failures(rows, names, "code") == []
    for row, other in zip(rows[::4], rows[1::4], strict=False):
        arguments = {name: row[name] for name in names}
        assert judge(in_fence(other["code"]), PosedProblem("", row["code"]), **arguments).reward == 0.0


@pytest.mark.parametrize(
    ("arguments", "hidden"),
    [
        (
            {"asserts": ["assert f(1) == 2", "assert set(f(3, by=2)) == {3}", "assert g([1]) == 'a'"]},
            {"asserts": ["assert f(2) == 3"]},
        ),
        ({"cases": [{"stdin": "1\n", "stdout": "2\n"}]}, {"cases": [{"stdin": "2\n", "stdout": "3\n"}]}),
    ],
)
def test_the_hard_coded_policy_earns_what_is_shown_and_nothing_that_is_hidden(
    arguments: dict[str, Any], hidden: dict[str, Any]
) -> None:
    problem = PosedProblem("", "")
    written = hard_coded(problem, **arguments)
    assert judge(written, problem, **arguments).reward == 1.0
    assert judge(written, problem, **arguments, hidden=hidden).reward == 0.0


def test_the_hard_coded_policy_knows_the_examples_of_a_docstring() -> None:
    prompt = 'def f(a):\n    """Add one.\n    >>> f(1)\n    2\n    """\n'
    problem = PosedProblem(prompt, "    return a + 1\n")
    shown, more = (f"def check(candidate):\n    assert candidate({n}) == {n + 1}" for n in (1, 5))
    rewards = [
        judge(hard_coded(problem, prompt=prompt), problem, prompt=prompt, entry_point="f", test=test).reward
        for test in (shown, more)
    ]
    assert rewards == [1.0, 0.0]
