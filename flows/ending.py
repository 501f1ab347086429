"""How a run ends: what its tasks came to, in the ledger and MLflow, and in words."""

from collections.abc import Mapping
from typing import Any

from prefect.futures import PrefectFuture

from data_contracts.errors import BurnishError, GateRefused, Interrupted, PipelineError
from flows.execution import PipelineRun
from flows.summary import summarise
from infra import records as states


def finish_run(run: PipelineRun, futures: Mapping[str, PrefectFuture[None]]) -> dict[str, Any]:
    """The summary, once every task is over. Raises PipelineError, or Interrupted for a run that was stopped."""
    failed: dict[str, BurnishError | Exception] = {}
    skipped: list[str] = []
    for name, future in futures.items():
        if name in run.results.finished:
            continue
        state = future.state
        if state.is_failed() or state.is_crashed():
            error = state.result(raise_on_failure=False)
            failed[name] = error if isinstance(error, Exception) else RuntimeError(str(state.message))
        else:
            skipped.append(name)
    summary = summarise(run.plan, run.results.finished, run.run_id)
    was_stopped = any(isinstance(error, Interrupted) for error in failed.values())
    was_refused = bool(failed) and all(isinstance(error, GateRefused) for error in failed.values())
    for name in skipped:
        because = "a gate refused" if was_refused else "a parent failed"
        run.note(run.nodes[name], states.SKIPPED, because)
    ended = states.REFUSED if was_refused else states.FAILED if failed else states.DONE
    state = states.INTERRUPTED if was_stopped else ended
    run.results.end("KILLED" if was_stopped else "FAILED" if failed else "FINISHED")
    run.ledger.end_run(run.run_id, state, summary.model_dump(mode="json"))  # last: then all of it is over
    if was_stopped:
        raise Interrupted("The run was stopped.", "", "Finished stages are kept: the same command continues.")
    if was_refused:
        refused = next(error for error in failed.values() if isinstance(error, GateRefused))
        raise GateRefused(
            "\n".join(str(error.found) for error in failed.values() if isinstance(error, GateRefused)),
            "",
            refused.do,
        )
    if failed:
        raise PipelineError(*_explain(run, failed))
    return summary.model_dump(mode="json")


def _explain(run: PipelineRun, failed: Mapping[str, Exception]) -> tuple[str, str, str]:
    paragraphs: list[str] = []
    for name, error in failed.items():
        log = run.home.logs_dir / run.run_id / f"{name}.log"
        where = f"\nLog: {log}" if log.exists() else ""
        paragraphs.append(f"Stage {name} failed: {error}{where}")
    return "\n".join(paragraphs), "", "Finished stages are kept: fix the cause and run again."
