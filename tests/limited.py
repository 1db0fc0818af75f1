"""`pytest --for-seconds N --turn TEXT`: a suite that must end, and takes its turns.

For CI, which has so many minutes: tests that would begin after N seconds are skipped, and named so. Files come in an
order that TEXT decides, so that another commit leaves out others.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

_BEGUN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("limited")
    group.addoption(
        "--for-seconds", type=float, default=None, help="begin no test after so many seconds: skip the rest"
    )
    group.addoption("--turn", default="", help="any text, e.g. a commit: decides the order of the files")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--turn"):
        items[:] = in_turn(items, str(config.getoption("--turn")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    seconds = item.config.getoption("--for-seconds")
    if seconds is not None and time.monotonic() - _BEGUN > seconds:
        pytest.skip(f"left out: {seconds:.0f} s are over")


def in_turn(items: Sequence[pytest.Item], turn: str) -> list[pytest.Item]:
    """By file, in the order of a digest of the file's name and the turn; a file's tests stay together."""

    def place(item: pytest.Item) -> str:
        return hashlib.sha256(f"{turn} {Path(item.path).name}".encode()).hexdigest()

    return sorted(items, key=place)
