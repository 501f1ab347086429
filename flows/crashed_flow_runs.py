"""Flow runs that Prefect calls running although the ledger knows that they are over: nobody told it."""

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from flows.past_runs import run_state
from infra.ledger import Ledger
from infra.records import RUNNING

_OPEN = [StateType.RUNNING, StateType.PENDING]


def end_crashed_flow_runs(ledger: Ledger) -> None:
    """Call them, and their tasks, crashed."""
    over = {run.flow_run_id for run in ledger.runs(limit=-1) if run_state(run) != RUNNING}
    is_open = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)))
    with get_client(sync_client=True) as client:
        for flow_run in client.read_flow_runs(flow_run_filter=is_open):
            if str(flow_run.id) in over:
                _end(client, flow_run)


def _end(client: SyncPrefectClient, flow_run: FlowRun) -> None:
    of_run = FlowRunFilter.model_validate({"id": {"any_": [flow_run.id]}})
    is_open = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=_OPEN)))
    crashed = Crashed(message="The process of this run is gone.")
    for task_run in client.read_task_runs(flow_run_filter=of_run, task_run_filter=is_open):
        client.set_task_run_state(task_run.id, crashed, force=True)
    client.set_flow_run_state(flow_run.id, crashed, force=True)
