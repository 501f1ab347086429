"""Runs of a deployment that are late when it is deployed anew: they hold the recipe as it was.

One of the recipe as it is now makes up for them; no old wish, such as `--promote if-better`, outlives its word.
"""

from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled

_MAKES_UP = "makes up for late runs"


def renew_late_runs(deployment: UUID, now: datetime) -> None:
    """Runs that somebody asked for by hand keep what they were given."""
    waits = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    with get_client(sync_client=True) as client:
        waiting = client.read_flow_runs(flow_run_filter=waits)
        ours = [run for run in waiting if run.auto_scheduled or _MAKES_UP in run.tags]
        late = [run for run in ours if run.expected_start_time is not None and run.expected_start_time <= now]
        for run in late:
            client.set_flow_run_state(run.id, Cancelled(message="The recipe was deployed anew."))
        if late:
            client.create_flow_run_from_deployment(deployment, tags=[_MAKES_UP])
