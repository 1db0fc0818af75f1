"""Where a step of this process works: settings, store, pool and tracker, opened when asked for."""

from pathlib import Path

from infra.pools import pool_named
from infra.pools.base import Pool
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


def tracking() -> Tracker:
    return tracker()


__all__ = ["ROOT", "home", "pool", "settings", "store", "tracking"]
