"""What a sweep over seeds says: the spread, how far chance reaches, and which model may be promoted."""

import pytest

from flows.summary import StageLine
from flows.sweep_view import sweep_advice, sweep_document, sweep_sentence


def line(seed: int, accuracy: float | None) -> StageLine:
    return StageLine(
        stage=f"grpo_seed_{seed}", model=f"tiny.grpo_seed_{seed}/1", accuracy=accuracy, seconds=1.0
    )


@pytest.mark.parametrize(
    ("accuracies", "deviation", "reach"),
    [
        ((0.50, 0.52), "1.4", "25.4"),  # t of 1 degree of freedom is 12.706
        ((0.50, 0.52, 0.54), "2.0", "12.2"),  # of 2 degrees 4.303
    ],
)
def test_few_seeds_say_little_of_how_far_chance_reaches(
    accuracies: tuple[float, ...], deviation: str, reach: str
) -> None:
    said = sweep_sentence([line(seed, accuracy) for seed, accuracy in enumerate(accuracies)])
    assert f"standard deviation {deviation} points" in said
    assert f"differ by less than {reach} points in 95 of 100 cases" in said


def test_the_recipes_own_seed_is_the_one_to_promote_whichever_is_ahead() -> None:
    lines = [line(3, 0.50), line(4, 0.99), line(5, 0.60)]
    assert "burnish promote tiny.grpo_seed_3/1" in sweep_advice(lines)
    assert not any(f"grpo_seed_{seed}" in sweep_advice(lines) for seed in (4, 5))
    assert sweep_document(lines)["own_seed"] == "grpo_seed_3"


def test_without_evaluations_there_is_no_spread() -> None:
    assert "nothing to compare the seeds by" in sweep_sentence([line(3, None), line(4, None)])
