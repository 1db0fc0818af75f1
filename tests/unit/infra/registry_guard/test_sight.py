"""The guard's narrow look at MLflow's tables says what MLflow's own, wide one says."""

import shutil
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from infra.errors import ServerError
from infra.registry_guard.changes import Change
from infra.registry_guard.sight import Seen, models_of_ours, see
from tests.wide_store import Wide


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SqlAlchemyStore:
    root: Path = tmp_path_factory.mktemp("registry")
    found = SqlAlchemyStore(f"sqlite:///{root / 'mlflow.db'}")
    for name in ("demo", "theirs", "o'clock"):
        found.create_registered_model(name)
    tags = [ModelVersionTag("nightshift.key", "k"), ModelVersionTag("empty", "")]
    found.create_model_version("demo", "store:/1", tags=tags, description="the first")
    found.create_model_version("demo", "store:/2")
    found.create_model_version("demo", "store:/3", tags=tags)
    found.create_model_version("theirs", "store:/1", tags=[ModelVersionTag("colour", "red")])
    found.create_model_version("o'clock", "store:/1", tags=[ModelVersionTag("nightshift.key", "k")])
    for alias, version in (("champion", "1"), ("anchor", "2"), ("shadow", "2")):
        found.set_registered_model_alias("demo", alias, version)
    found.delete_model_version("demo", "3")
    return found


@pytest.mark.parametrize(
    "change",
    [
        Change("set_version_tag", "demo", "1", "nightshift.key", "x"),
        Change("set_version_tag", "demo", "1", "empty", "x"),
        Change("delete_version_tag", "demo", "2", "colour"),
        Change("set_version_tag", "demo", "3", "nightshift.key", "x"),  # deleted
        Change("set_version_tag", "demo", "99", "nightshift.key", "x"),
        Change("set_version_tag", "nowhere", "1", "nightshift.key", "x"),
        Change("set_alias", "demo", "2", alias="champion"),
        Change("set_alias", "demo", "2", alias="shadow"),
        Change("delete_alias", "demo", alias="previous"),
        Change("delete_alias", "nowhere", alias="previous"),
        Change("delete_version", "demo", "1"),
        Change("delete_model", "demo"),
        Change("delete_model", "nowhere"),
        Change("update_version", "demo", "1"),
        Change("transition_stage", "theirs", "1"),
        Change("create_version", "demo"),
        Change("set_model_tag", "demo", key="colour", value="red"),
    ],
)
def test_the_narrow_look_says_what_the_wide_one_says(store: SqlAlchemyStore, change: Change) -> None:
    assert see(store, change) == see(Wide(store), change)


def test_a_look_says_tags_time_and_aliases(store: SqlAlchemyStore) -> None:
    seen = see(store, Change("set_alias", "demo", "1", alias="shadow"))
    created = str(store.get_model_version("demo", "1").creation_timestamp)
    aliases = {"champion": "1", "anchor": "2", "shadow": "2"}
    assert seen == Seen({"nightshift.key": "k", "empty": ""}, created, aliases, {"shadow": "2"})


def test_models_of_ours_are_those_with_a_tag_of_ours_on_a_version(store: SqlAlchemyStore) -> None:
    assert models_of_ours(store) == {"demo", "o'clock"}


def test_a_look_asks_the_primary_database_not_a_replica_that_is_behind(store: SqlAlchemyStore, tmp_path: Path) -> None:
    shutil.copy(store.db_uri.removeprefix("sqlite:///"), tmp_path / "replica.db")
    routed = SqlAlchemyStore(store.db_uri, f"sqlite:///{tmp_path / 'replica.db'}")
    routed.set_model_version_tag("theirs", "1", ModelVersionTag("colour", "blue"))
    assert routed.get_model_version("theirs", "1").tags == {"colour": "red"}  # the replica's
    change = Change("set_version_tag", "theirs", "1", "colour", "green")
    assert see(routed, change).shown == {"colour": "blue"}
    store.set_model_version_tag("theirs", "1", ModelVersionTag("colour", "red"))


def test_a_database_that_does_not_answer_is_said_with_its_own_words(store: SqlAlchemyStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    shutil.copy(store.db_uri.removeprefix("sqlite:///"), broken)
    found = SqlAlchemyStore(f"sqlite:///{broken}")
    found.engine.dispose()
    broken.write_bytes(b"no database" * 1000)
    with pytest.raises(ServerError, match="file is not a database") as caught:
        see(found, Change("set_version_tag", "demo", "1", "empty", "x"))
    assert "send the request again" in str(caught.value)
