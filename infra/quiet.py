"""One of our own errors is one readable message in the log: no traceback through three libraries around it."""

import logging

from infra.errors import NightshiftError

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def quiet_our_errors() -> None:
    """Leave the traceback of a NightshiftError out of Prefect's logs; any other error keeps its own. Repeatable."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if _without_traceback not in logger.filters:
            logger.addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, NightshiftError):
        record.msg, record.args = f"{type(error).__name__}: {error}", ()
        record.exc_info = record.exc_text = None
    return True
