"""The pools' contract on this machine, which has no scheduler."""

from pathlib import Path
from typing import Any

import pytest

from infra.pools.local import LocalPool
from tests.infra.pools.contract import PoolContract, Rig


class LocalRig(Rig):
    scheduled = False

    def __init__(self, folder: Path) -> None:
        self.pool, self.folder = LocalPool(), folder

    def with_(self, **fields: Any) -> LocalPool:
        return LocalPool(**fields)


@pytest.fixture
def rig(home: Path) -> LocalRig:
    return LocalRig(home)


class TestLocal(PoolContract):
    """Nothing of its own."""
