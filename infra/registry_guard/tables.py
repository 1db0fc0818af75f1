"""The few columns of MLflow's tables that the guard judges by, in statements that are built once.

MLflow's own look at a version loads the model and all around it, and building a query anew costs more than answering
it. The primary database is asked, also where MLflow reads from a replica: a replica may not know the last change yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModelAlias,
    SqlRegisteredModelTag,
)
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import ServerError

_WORKSPACE, _NAME, _VERSION = bindparam("workspace"), bindparam("name"), bindparam("version")

_ROW = select(SqlModelVersion.creation_time, SqlModelVersion.description, SqlModelVersion.current_stage).where(
    SqlModelVersion.workspace == _WORKSPACE,
    SqlModelVersion.name == _NAME,
    SqlModelVersion.version == _VERSION,
    SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL,
)
_TAGS = select(SqlModelVersionTag.key, SqlModelVersionTag.value).where(
    SqlModelVersionTag.workspace == _WORKSPACE,
    SqlModelVersionTag.name == _NAME,
    SqlModelVersionTag.version == _VERSION,
)
_ALIASES = select(SqlRegisteredModelAlias.alias, SqlRegisteredModelAlias.version).where(
    SqlRegisteredModelAlias.workspace == _WORKSPACE,
    SqlRegisteredModelAlias.name == _NAME,
    SqlRegisteredModelAlias.alias.in_(bindparam("aliases", expanding=True)),
)


_MODEL_TAG = select(SqlRegisteredModelTag.value).where(
    SqlRegisteredModelTag.workspace == _WORKSPACE,
    SqlRegisteredModelTag.name == _NAME,
    SqlRegisteredModelTag.key == bindparam("key"),
)


class Row(NamedTuple):
    """A version as its tables say it; None as ``None``."""

    tags: dict[str, str | None]
    created: int
    description: str | None
    stage: str | None


def version_row(store: SqlAlchemyStore, model: str, number: str) -> Row | None:
    """A version that isn't deleted, or None.

    Raises:
        ServerError: the database doesn't answer.
    """
    where = {"workspace": store._get_active_workspace(), "name": model, "version": int(number)}
    with _connected(store) as database:
        row = database.execute(_ROW, where).first()
        tags = database.execute(_TAGS, where).all() if row else ()
    return Row({key: value for key, value in tags}, *row) if row else None


def alias_rows(store: SqlAlchemyStore, model: str, wanted: set[str]) -> dict[str, str]:
    """Alias → version, of those wanted that are set.

    Raises:
        ServerError: the database doesn't answer.
    """
    where = {"workspace": store._get_active_workspace(), "name": model, "aliases": sorted(wanted)}
    with _connected(store) as database:
        return {alias: str(version) for alias, version in database.execute(_ALIASES, where)}


def model_tag_row(store: SqlAlchemyStore, model: str, key: str) -> str | None:
    """A registered model's tag, or None.

    Raises:
        ServerError: the database doesn't answer.
    """
    where = {"workspace": store._get_active_workspace(), "name": model, "key": key}
    with _connected(store) as database:
        return database.execute(_MODEL_TAG, where).scalar()


@contextmanager
def _connected(store: SqlAlchemyStore) -> Iterator[Connection]:
    try:
        with store.engine.connect() as database:
            if database.dialect.name == "sqlite":
                # as MLflow waits for a writer; a new connection waits for a quarter of that
                database.exec_driver_sql("PRAGMA busy_timeout = 20000")
            yield database
    except SQLAlchemyError as error:
        raise ServerError(
            f"the registry's database doesn't answer: {str(error).splitlines()[0]}",
            do="send the request again; if it goes on, look into the server's log",
        ) from error
