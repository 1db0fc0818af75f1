"""Flows of this process against another Prefect server than the session's, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

SECONDS = 60.0


@contextmanager
def prefect_at(url: str) -> Iterator[None]:
    """Prefect's client and its events at ``url``.

    A process has one worker for events, bound to the server that was its when the first was sent. So it is ended before
    and after: else the session's later events are sent to a server that is gone, for seconds each, and its end waits.
    """
    end_events()
    with temporary_settings({PREFECT_API_URL: url}):
        try:
            yield
        finally:
            end_events()


def end_events() -> None:
    """Send what is queued, as far as anybody takes it; the next event starts another worker."""
    EventsWorker.drain_all(timeout=SECONDS)
