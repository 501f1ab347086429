"""Every error a person can cause or meet, with the three parts that help: found, expected, what to do.

The command line prints the message without a stack trace and ends with `exit_code`. A stage's child
process hands its error to the parent as a document, so each class is rebuilt from its name.
"""

from typing import ClassVar


class BurnishError(Exception):
    """What was found, what was expected, and what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, found: str, expected: str = "", do: str = "") -> None:
        self.found, self.expected, self.do = found, expected, do
        super().__init__(found, expected, do)

    def __str__(self) -> str:
        parts = [self.found, f"Expected: {self.expected}" if self.expected else "", self.do]
        return "\n".join(part for part in parts if part)


class RecipeError(BurnishError):
    """The recipe says something that cannot be run."""

    exit_code = 2


class DataError(BurnishError):
    """A data file or one of its rows is not what its recipe promises."""

    exit_code = 2


class HomeError(BurnishError):
    """The directory that holds everything cannot be used."""

    exit_code = 2


class ServerError(BurnishError):
    """A server that a run needs did not start."""


class NotFoundError(BurnishError):
    """A name on the command line (run, stage, model, recipe) that nothing answers to."""

    exit_code = 2


class StageError(BurnishError):
    """A stage could not do its work on the input it was given."""


class LostProcessError(StageError):
    """A stage's process was killed from outside; the same stage continues from its last checkpoint."""


class EmptyResultError(StageError):
    """A stage that makes rows made none, such as pairs from nothing but ties."""


class TemplateMismatchError(StageError):
    """Tokenizer or chat template differ from those of the model a stage starts from."""


class EndOfSequenceError(StageError):
    """Completions do not end in the token that stops generation."""


class LossMaskError(StageError):
    """The loss would touch something other than completions, or nothing at all."""


class FirstLossError(StageError):
    """DPO's loss before the first update is not ln 2: policy and reference differ."""


class ReferenceMismatchError(StageError):
    """The reference model is not the model the stage starts from."""


class GroundTruthError(DataError):
    """A verifier rejects its own ground truth: no policy could ever be right."""


class SandboxError(StageError):
    """Code of a model cannot be run safely here."""


class PipelineError(BurnishError):
    """One or more stages of a run failed; the finished ones are kept."""


class GateRefused(BurnishError):  # noqa: N818 - the gate did its work
    """A gate did not find what it asks for: what follows does not run."""


class WithdrawnError(BurnishError):
    """A model saw rows that were withdrawn."""


class DamagedModelError(BurnishError):
    """The files of a registered version are not those that its run made."""


class PromotionError(BurnishError):
    """The champion stays as it is: what was decided on has changed since, or by hand."""


class Interrupted(BurnishError):  # noqa: N818 - nothing went wrong
    """Stopped on request; a rerun continues."""

    exit_code = 130


class Paused(Interrupted):
    """A stage that stopped at an alarm, its checkpoint written; a rerun goes on and takes the alarm as seen."""


class AlarmError(StageError):
    """A stage that an alarm ended, as the recipe's policy says."""


_BY_NAME = {
    cls.__name__: cls
    for cls in [
        RecipeError,
        DataError,
        HomeError,
        StageError,
        EmptyResultError,
        TemplateMismatchError,
        EndOfSequenceError,
        LossMaskError,
        FirstLossError,
        ReferenceMismatchError,
        GroundTruthError,
        SandboxError,
        AlarmError,
        Paused,
    ]
}


def error_document(error: BurnishError) -> dict[str, str]:
    """The error as plain text fields, to cross a process boundary."""
    return {
        "name": type(error).__name__,
        "found": error.found,
        "expected": error.expected,
        "do": error.do,
    }


def error_from_document(document: dict[str, str]) -> BurnishError:
    """Rebuild what `error_document` wrote."""
    return _BY_NAME[document["name"]](document["found"], document["expected"], document["do"])
