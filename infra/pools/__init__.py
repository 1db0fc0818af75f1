"""Pools by name. ``pool_named`` prefers a saved Prefect block, so that what the UI shows is what runs."""

from infra.errors import PoolError
from infra.pools.base import Pool
from infra.pools.local import LocalPool

POOLS: dict[str, type[Pool]] = {"local": LocalPool}


def default_pool(name: str) -> Pool:
    """The pool with its defaults, without asking a Prefect server.

    Raises:
        PoolError: the name is none of ``POOLS``.
    """
    if name not in POOLS:
        raise PoolError(
            f"there is no pool {name!r}, only {sorted(POOLS)}", do="set `pool` in the recipe to one of these"
        )
    return POOLS[name]()


def pool_named(name: str) -> Pool:
    """The pool's saved block, else its defaults."""
    default = default_pool(name)
    try:
        return type(default).load(name)  # pyright: ignore[reportReturnType]
    except ValueError:  # Prefect's answer to a block that was never saved
        return default
