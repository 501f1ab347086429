"""Schedules as they are said, and when they fire."""

from datetime import UTC, datetime

import pytest

from data_contracts.errors import RecipeError
from flows.schedule import next_fires, read_schedule


def fires(after: str, cron: str | None = None, interval: int | None = None, zone: str = "UTC") -> list[str]:
    when = read_schedule(cron, interval, zone)
    after_utc = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [each.isoformat() for each in next_fires(when, after_utc)]


def test_every_night_at_two_is_two_by_the_zones_own_clock_also_across_summer_time() -> None:
    """Berlin goes from +01:00 to +02:00 in the night to 29 March 2026."""
    assert fires("2026-03-27T12:00", "0 8 * * *", zone="Europe/Berlin") == [
        "2026-03-28T08:00:00+01:00",
        "2026-03-29T08:00:00+02:00",
        "2026-03-30T08:00:00+02:00",
    ]


def test_a_sixth_field_is_seconds() -> None:
    expected = ["2026-01-01T00:00:20+00:00", "2026-01-01T00:00:40+00:00", "2026-01-01T00:01:00+00:00"]
    assert fires("2026-01-01T00:00:05", "* * * * * */20") == expected


def test_an_interval_has_a_grid_of_its_own_that_no_later_deployment_moves() -> None:
    expected = ["2026-01-01T13:00:00+00:00", "2026-01-01T14:00:00+00:00", "2026-01-01T15:00:00+00:00"]
    assert fires("2026-01-01T12:34:56", interval=3600) == expected
    assert read_schedule(None, 3600, "UTC") == read_schedule(None, 3600, "UTC")


@pytest.mark.parametrize(
    ("cron", "interval", "zone", "found"),
    [
        (None, None, "UTC", "No schedule was given"),
        ("0 2 * * *", 60, "UTC", "Two schedules"),
        ("every night", None, "UTC", "'every night' cannot be read"),
        ("61 2 * * *", None, "UTC", "cannot be read"),
        ("R 2 * * *", None, "UTC", "cannot be read"),
        ("", None, "UTC", "'' cannot be read"),
        ("0 2 30 2 *", None, "UTC", "'0 2 30 2 \\*' never fires"),
        (None, 0, "UTC", "--interval 0"),
        (None, 10**15, "UTC", "--interval 1000000000000000 is more than ten years"),
        (None, -5, "UTC", "--interval -5"),
        ("0 2 * * *", None, "Europe/Berln", "no time zone 'Europe/Berln'"),
        ("0 2 * * *", None, "", "no time zone ''"),
    ],
)
def test_what_is_no_schedule_is_refused_in_words(
    cron: str | None, interval: int | None, zone: str, found: str
) -> None:
    with pytest.raises(RecipeError, match=found) as refused:
        read_schedule(cron, interval, zone)
    assert refused.value.expected


def test_a_zone_that_is_nearly_one_is_named() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'Europe/Berlin'"):
        read_schedule("0 2 * * *", None, "Europe/Berln")
