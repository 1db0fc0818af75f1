"""MLflow's registry store as any other kind of store: the guard asks it through its public methods only."""

from typing import Any

from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore


class Wide:
    def __init__(self, store: SqlAlchemyStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
