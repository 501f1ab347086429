"""Flow runs that Prefect calls running although the ledger knows how they ended: nobody told it."""

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Completed, Crashed, Failed

from flows.past_runs import CRASHED, run_state
from infra.ledger import Ledger
from infra.records import DONE, RUNNING

_OPEN = [StateType.RUNNING, StateType.PENDING]


def end_crashed_flow_runs(ledger: Ledger) -> None:
    """Tell Prefect how they, and their tasks, ended."""
    over = {run.flow_run_id: state for run in ledger.runs(limit=-1) if (state := run_state(run)) != RUNNING}
    is_open = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)))
    with get_client(sync_client=True) as client:
        for flow_run in client.read_flow_runs(flow_run_filter=is_open):
            if (state := over.get(str(flow_run.id))) is not None:
                _end(client, flow_run, state)


def _end(client: SyncPrefectClient, flow_run: FlowRun, state: str) -> None:
    of_run = FlowRunFilter.model_validate({"id": {"any_": [flow_run.id]}})
    is_open = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=_OPEN)))
    for task_run in client.read_task_runs(flow_run_filter=of_run, task_run_filter=is_open):
        client.set_task_run_state(task_run.id, _prefect_state(DONE if state == DONE else CRASHED), force=True)
    client.set_flow_run_state(flow_run.id, _prefect_state(state), force=True)


def _prefect_state(state: str) -> State[None]:
    if state == CRASHED:
        return Crashed(message="The process of this run is gone.")
    ended = Completed if state == DONE else Failed
    return ended(message=f"The run ended ({state}) while this server did not answer.")
