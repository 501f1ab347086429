"""A process that runs recipes as Prefect would, told each by a line, with a stage that only counts.

It tells what its view is told as lines of JSON. The stage keeps its count as a trainer its checkpoints; half-way it
waits for a word through a pipe, if there is one with its parent's number.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from pathlib import Path

from data_contracts.alarms import Alarm
from data_contracts.jobs import Progress, StageJob, StageResult

STEPS, HALF_WAY = 4, 2


def count(document: str) -> None:
    """The stage: counts on from where an earlier one came to."""
    job = StageJob.model_validate_json(document)
    job.log_path.touch()
    with job.progress_path.open("w", buffering=1) as progress:
        progress.write("{}\n")
        if job.name == "sft":
            _count(job, progress.write)
    job.output_dir.mkdir(exist_ok=True)
    (job.output_dir / "model.safetensors").write_text(job.name)
    result = StageResult(output="model", fingerprint=f"{job.name} {job.seed}", metrics={})
    job.result_path.write_text(result.model_dump_json())


def _count(job: StageJob, tell: Callable[[str], object]) -> None:
    checkpoint = job.work_dir / "count"
    begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(begin + 1, STEPS + 1):
        checkpoint.write_text(str(step))
        tell(Progress(seconds=0, step=step, total=STEPS).model_dump_json() + "\n")
        parent = parent_process()
        assert parent is not None
        pipe = job.work_dir.parents[2] / f"pipe-{parent.pid}"
        if step == HALF_WAY and pipe.exists() and pipe.read_text() == "die":
            os.kill(os.getpid(), signal.SIGKILL)


class _Telling:
    """A view for the test that reads our output."""

    def begin(self, stage: str) -> None:
        _tell("begin", stage)

    def progress(self, stage: str, progress: Progress) -> None:
        _tell("progress", stage, str(progress.step))

    def alarm(self, stage: str, alarm: Alarm) -> None:
        _tell("alarm", stage, alarm.name)

    def wait(self, stage: str, for_what: str) -> None:
        _tell("wait", stage, for_what)

    def end(self, stage: str, state: str, text: str) -> None:
        _tell("end", stage, state, text)

    def say(self, text: str) -> None:
        _tell("say", text)

    def close(self) -> None: ...


def _tell(*words: str) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _run(home_path: Path, recipe_path: Path, overrides: list[str]) -> None:
    from data_contracts.errors import BurnishError
    from flows.execution import PipelineRun
    from flows.plan import Wishes, make_plan
    from flows.preflight import require_sound
    from flows.recipe_files import read_recipe, write_recipe
    from infra.home import open_home
    from infra.ledger import Ledger
    from infra.process_identity import this_process

    home = open_home(home_path)
    ledger = Ledger(home.ledger_path)
    recipe = read_recipe(recipe_path, overrides)
    plan = make_plan(recipe, home, ledger, Wishes(frozenset(), "sft", False))
    run = PipelineRun(
        run_id=ledger.begin_run(recipe.name, recipe.model_dump(mode="json"), *this_process()),
        plan=plan,
        force=frozenset(),
        home=home,
        ledger=ledger,
        view=_Telling(),
        prepared=require_sound(plan, home),
        stop=threading.Event(),
    )
    run.results.begin(write_recipe(recipe))
    try:
        for name in ("tosses", "base", "sft"):
            run.make(name)
    except BurnishError as error:
        _tell("failed", error.found)
    else:
        run.results.end("FINISHED")
        _tell("finished", run.run_id)


if __name__ == "__main__":
    from flows import execution
    from tests.pipeline import counting

    execution.child.run = counting.count
    for line in sys.stdin:
        _run(Path(sys.argv[1]), Path(sys.argv[2]), line.split())
