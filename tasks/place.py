"""Where a step of this process works: settings, store, pool and tracker, opened when asked for."""

from pathlib import Path

from infra.pools import pool_named
from infra.pools.base import Pool
from infra.pools.saved import saved_pools
from infra.settings import ROOT, Settings, load_settings
from infra.store import Store
from infra.tracking import Tracker, tracker


def settings() -> Settings:
    return load_settings()


def home() -> Path:
    return load_settings().home


def store() -> Store:
    return Store(home() / "store")


def pool(name: str) -> Pool:
    return pool_named(name)


def pools(names: tuple[str, ...]) -> dict[str, Pool]:
    """Pools by name; ``all``: every one there is."""
    return saved_pools(names)


def tracking() -> Tracker:
    return tracker()


__all__ = ["ROOT", "home", "pool", "pools", "settings", "store", "tracking"]
