"""Pools by name. ``pool_named`` prefers a saved Prefect block, so that what the UI shows is what runs."""

from infra.errors import PoolError
from infra.pools.base import Pool
from infra.pools.kubernetes import KubernetesPool, NvidiaKubernetesPool
from infra.pools.local import LocalPool
from infra.pools.slurm import AmdSlurmPool, SlurmPool

POOLS: dict[str, type[Pool]] = {
    "local": LocalPool,
    "amd-slurm": AmdSlurmPool,
    "slurm": SlurmPool,
    "nvidia-kubernetes": NvidiaKubernetesPool,
    "kubernetes": KubernetesPool,
}


def default_pool(name: str) -> Pool:
    """The pool with its defaults, without asking a Prefect server.

    Args:
        name: a kind of pool, or ``KIND/BLOCK`` for a block of another name than its kind.

    Raises:
        PoolError: the kind is none of ``POOLS``.
    """
    kind = name.partition("/")[0]
    if kind not in POOLS:
        raise PoolError(
            f"there is no pool {name!r}, only {sorted(POOLS)}",
            do="set `pool` in the recipe to one of these, or to KIND/BLOCK for a saved block",
        )
    return POOLS[kind]()


def pool_named(name: str) -> Pool:
    """The pool's saved block, else its defaults.

    Raises:
        PoolError: the kind is unknown, or a block that was named was never saved.
    """
    default = default_pool(name)
    kind, _, block = name.partition("/")
    try:
        return type(default).load(block or kind)  # pyright: ignore[reportReturnType]
    except ValueError:  # Prefect's answer to a block that was never saved
        if block:
            raise PoolError(
                f"there is no block {block!r} of the pool {kind}",
                do="save one in the Prefect UI (Blocks), or name the pool by its kind alone",
            ) from None
        return default
