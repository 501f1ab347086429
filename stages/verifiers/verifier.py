"""What a verifier is: a judgement in two tiers, the arguments it takes, and a proof that it can say yes.

`quick` answers at once, in time linear in its input, or None where it cannot decide; what it leaves open goes to
`thorough`, in a worker process under limits of time and memory. Most verifiers need one of the two only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import with_config
from typing_extensions import TypedDict

from data_contracts.verdict import Verdict

Answers: TypeAlias = Literal["number", "final_number", "math", "choice", "text", "solution", "constraints"]
"""What a verifier compares with the ground truth, and so what an audit may hold it to:

- number: one number, in the form of `completion_of` and however people write it (18, 18.00, $18, 1,200).
  A ground truth that is no number is compared as a text.
- final_number: the same wherever a final answer stands ("The answer is 18.", #### 18, a box), and nothing that
  is denied, hedged or taken back.
- math: the same for mathematics: fractions in all their writings too, and no false equation.
- choice: a letter, announced or in a box, neither denied, hedged nor taken back.
- text: the text of `completion_of` and no other.
- solution: something built, such as a schedule or a program; no text without it is right.
- constraints: any text that meets the arguments; only one that says nothing is surely wrong."""


@with_config(extra="forbid")
class NoArguments(TypedDict):
    """The verifier takes none."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Functions are called as `function(completion, problem, **arguments)` with a `PosedProblem`.

    They raise DataError (GroundTruthError for the ground truth) where the problem itself cannot be checked,
    whatever the completion: that is found when rows are imported.
    """

    summary: str = ""
    """What it rewards, in a few words, for lists."""

    quick: Callable[..., Verdict | None] | None = None
    thorough: str | None = None
    """`package.module:function`, imported in worker processes only, for what is heavy to import. It gives a
    Verdict. A verifier of yours needs no such split: all of it runs in workers."""

    arguments: type = NoArguments
    """A TypedDict of the keyword arguments, which come from the row's JSON."""

    require: Callable[[Any], None] | None = None
    """Called once with the arguments as a whole; raises DataError where they cannot be checked together."""

    completion_of: Callable[..., str] | None = None
    """`function(problem, **arguments)`: a right completion; None where none can be made."""

    cpu_seconds: float = 1.5
    """Processor time of `thorough` for one completion; beyond it the reward is 0."""

    wall_seconds: float = 30.0
    """Time after which its worker counts as broken."""

    keeps_state: bool = False
    """Whether `thorough` has processes of its own that serve one completion after the other."""

    answers: Answers = "number"
    """Where the ground truth of a problem is empty, constraints whatever this says."""

    second: str | None = None
    """Another verifier that can judge the same problems; an audit lists where the two disagree."""

    policies: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    """Scripted policies without skill, `function(problem, **arguments)` gives a completion: an audit shows what
    the reward pays them."""
