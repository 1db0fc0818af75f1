"""Cron expressions as Prefect's server reads them: what it would start when is asked of its own code."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo


def checked(cron: str) -> str:
    """The expression.

    Raises:
        ValueError: it is none, by Prefect's own check (as in its schedules: minute hour day month weekday).
    """
    # by name of a schedule's class: only recipes with a schedule pay for the import
    from prefect.client.schemas.schedules import CronSchedule

    return CronSchedule(cron=cron, timezone="UTC").cron


def times(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Times at or after ``after`` at which Prefect's scheduler would start something, in the zone, first one first."""
    from prefect.server.schemas.schedules import CronSchedule

    schedule = CronSchedule(cron=cron, timezone=zone)
    for found in schedule._get_dates_generator(n=1000, start=after):
        # Prefect's own kind of datetime forgets its zone when hours are added
        yield datetime.fromtimestamp(found.timestamp(), ZoneInfo(zone))


__all__ = ["checked", "times"]
