"""All pools: what was saved in Prefect stands for its type's defaults, also under names of its own."""

import pytest

from infra.errors import PoolError
from infra.pools.local import LocalPool
from infra.pools.saved import saved_pools

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_without_a_saved_block_there_are_the_defaults_and_with_one_there_is_that() -> None:
    assert saved_pools()["local"] == LocalPool()
    LocalPool(processes=3).save("local", overwrite=True)  # pyright: ignore[reportUnusedCoroutine]
    LocalPool(processes=2).save("second", overwrite=True)  # pyright: ignore[reportUnusedCoroutine]
    try:
        found = saved_pools()
        assert {name: pool.processes for name, pool in found.items() if isinstance(pool, LocalPool)} == {
            "local": 3,
            "local/second": 2,
        }
        assert list(saved_pools(("local/second", "local"))) == ["local/second", "local"]
    finally:
        LocalPool.delete("local")  # pyright: ignore[reportUnusedCoroutine]
        LocalPool.delete("second")  # pyright: ignore[reportUnusedCoroutine]


def test_a_name_that_no_pool_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(PoolError, match=r"no pool 'moon', only .*local"):
        saved_pools(("local", "moon"))
