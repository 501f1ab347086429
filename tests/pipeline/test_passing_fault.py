"""A fault of the machine that happens once does not end a run."""

from mlflow.tracking import MlflowClient

from tests.pipeline.conftest import World
from tests.pipeline.shell import Shell, wait_until
from tests.pipeline.test_interruptions import stage_processes, steps_done


def test_a_stage_whose_process_was_killed_from_outside_is_begun_again_by_the_same_run(
    world: World, shell: Shell
) -> None:
    shell.start("run", world.recipe, "--set", "sft.steps=40", "--set", "name=begun_again", "--until", "sft")
    wait_until(lambda: steps_done(world) > 0, "the first step")
    (process,) = stage_processes(shell)
    process.kill()
    outcome = shell.wait()
    assert (outcome.code, "killed by SIGKILL" in outcome.text) == (0, True)
    (run,) = world.ledger.runs("begun_again")
    assert run.state == "done"
    assert {stage.stage: stage.state for stage in world.ledger.run_stages(run.run_id)}["sft"] == "done"
    tracking = MlflowClient(world.home.mlflow_uri)
    experiment = tracking.get_experiment_by_name("begun_again")
    assert experiment is not None
    tried = tracking.search_runs(
        [experiment.experiment_id], "tags.`burnish.stage` = 'sft'", order_by=["start_time ASC"]
    )
    assert [each.info.status for each in tried] == ["FAILED", "FINISHED"]
