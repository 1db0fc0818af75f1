"""Errors in the log: ours as one message, all others with their traceback."""

import logging

import pytest

from infra.errors import NightshiftError
from infra.quiet import quiet_our_errors


def logged(error: Exception, caplog: pytest.LogCaptureFixture) -> str:
    quiet_our_errors()
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(caplog.handler)
    try:
        raise error
    except Exception as raised:
        logger.exception("Encountered exception during execution: %r", raised)
    finally:
        logger.removeHandler(caplog.handler)
    return caplog.text


def test_our_error_is_its_message_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    text = logged(NightshiftError("the disk is full", do="free space"), caplog)
    assert "NightshiftError: the disk is full\n  -> free space" in text
    assert "Traceback" not in text


def test_an_unexpected_error_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    assert "Traceback" in logged(ValueError("a bug"), caplog)
