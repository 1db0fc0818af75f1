"""Sixteen clients at once on a guarded server, on SQLite and on PostgreSQL: nothing is lost, and the chain is whole."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from benchmarks.guard_load import (
    API,
    CLIENTS,
    STEPS,
    Answer,
    Client,
    Operation,
    accounts,
    check,
    closed_loop,
    in_ledger,
    in_registry,
    life,
    out_of_order,
    setup,
)
from benchmarks.guard_servers import NewDatabase, Server, postgres, postgres_programs, serving, sqlite
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import journal_path, verify
from infra.registry_guard.sight import Seen, models_of_ours, see
from tests.wide_store import Wide

needs_postgres = pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed (Debian package)")
DATABASES = ["sqlite", pytest.param("postgres", marks=needs_postgres)]
MODELS = ("one", "two", "three")


@pytest.fixture(scope="module")
def a_postgres() -> Iterator[NewDatabase]:
    with postgres() as new_database:
        yield new_database


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    # two processes: they share the ledger, the locks and the database, and nothing else
    if request.param == "postgres":
        database: NewDatabase = request.getfixturevalue("a_postgres")
        with serving("guard", folder / "guard", database, accounts(), 600, workers=2) as found:
            yield found
    else:
        with sqlite(folder) as database, serving("guard", folder / "guard", database, accounts(), 600, 2) as found:
            yield found


def ready(server: Server, *models: str) -> list[Answer]:
    client = Client(server, setup(models))
    while client.step():
        pass
    client.close()
    assert [one.status for one in client.answers] == [200] * 5 * len(models)
    return client.answers


@pytest.mark.slow
def test_sixteen_clients_at_once_lose_nothing_and_the_chain_is_whole(server: Server) -> None:
    begun = ready(server, *MODELS, "crowded")
    for models in (MODELS, ("crowded",)):
        clients = [Client(server, life(number, models)) for number in range(CLIENTS)]
        answers = closed_loop(clients, 2 * CLIENTS * STEPS)
        for client in clients:
            client.close()
        assert [one.text for one in answers if one.status != 200] == []
        assert len(answers) == 2 * CLIENTS * STEPS
        begun += answers
    kept = check(server, begun)
    assert kept == (len(begun), [], [])


@pytest.mark.slow
def test_conflicting_approvals_at_once_get_one_yes(server: Server) -> None:
    ready(server, "contested")
    trainer = Client(server, life(0, ["contested"]))
    for _ in range(10):
        while (request := trainer._next) is not None and request.operation.value != "approved":
            assert trainer.step()
        version = trainer.answers[-1].operation.version
        approvers = [name for name, role in accounts().items() if role == "approver"]

        def decide(name: str, version: str = version) -> tuple[str, int]:
            value = "approved" if name[-1] in "02" else f"rejected: {name} says no"
            body = {"name": "contested", "version": version, "key": "approval", "value": value}
            login = (name, server.passwords[name])
            answer = httpx.post(
                f"{server.url}{API}/model-versions/set-tag", json=body, auth=login, timeout=120, trust_env=False
            )
            return value, answer.status_code

        with ThreadPoolExecutor(len(approvers)) as pool:
            decided = list(pool.map(decide, approvers))
        assert sorted(status for _, status in decided) == [200, 403, 403, 403]
        (said,) = [value for value, status in decided if status == 200]
        assert tags_of(server, "contested", version)["approval"] == said
        # the rest of that life is another decision's
        trainer.close()
        trainer = Client(server, life(int(version) % CLIENTS, ["contested"]))
    trainer.close()
    assert verify(journal_path(server.home)) == []


def tags_of(server: Server, model: str, version: str) -> dict[str, str]:
    answer = httpx.get(
        f"{server.url}{API}/model-versions/get",
        params={"name": model, "version": version},
        auth=("service", server.passwords["service"]),
        trust_env=False,
    )
    return {one["key"]: one["value"] for one in answer.json()["model_version"]["tags"]}


# --- the guard's narrow look, on PostgreSQL ---


@pytest.fixture(scope="module")
def store(a_postgres: NewDatabase) -> SqlAlchemyStore:
    found = SqlAlchemyStore(a_postgres("looked_at"))
    for name in ("demo", "theirs"):
        found.create_registered_model(name)
    tags = [ModelVersionTag("nightshift.key", "k"), ModelVersionTag("empty", "")]
    found.create_model_version("demo", "store:/1", tags=tags, description="the first")
    found.create_model_version("demo", "store:/2", tags=tags)
    found.delete_model_version("demo", "2")
    found.create_model_version("theirs", "store:/1", tags=[ModelVersionTag("colour", "red")])
    for alias in ("champion", "shadow"):
        found.set_registered_model_alias("demo", alias, "1")
    return found


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize(
    "change",
    [
        Change("set_version_tag", "demo", "1", "nightshift.key", "x"),
        Change("set_version_tag", "demo", "2", "nightshift.key", "x"),  # deleted
        Change("set_version_tag", "demo", "999999999", "empty", "x"),  # the highest the guard lets through
        Change("set_version_tag", "nowhere", "1", "empty", "x"),
        Change("update_version", "demo", "1"),
        Change("set_alias", "demo", "1", alias="champion"),
        Change("set_alias", "demo", "1", alias="Champion"),
        Change("delete_alias", "nowhere", alias="previous"),
        Change("delete_model", "demo"),
        Change("set_model_tag", "theirs", key="colour", value="red"),
    ],
)
def test_the_narrow_look_says_on_postgres_what_mlflows_own_says(store: SqlAlchemyStore, change: Change) -> None:
    assert see(store, change) == see(Wide(store), change)


@pytest.mark.slow
@needs_postgres
def test_a_look_at_postgres_says_tags_time_and_aliases(store: SqlAlchemyStore) -> None:
    seen = see(store, Change("set_alias", "demo", "1", alias="shadow"))
    created = str(store.get_model_version("demo", "1").creation_timestamp)
    both = {"champion": "1", "shadow": "1"}
    assert seen == Seen({"nightshift.key": "k", "empty": ""}, created, both, {"shadow": "1"})
    assert models_of_ours(store) == {"demo"}


# --- what the benchmark would say if something were lost ---

MADE = Answer(Operation("create_version", "demo", "1"), 200, 0.1, tags=frozenset({("nightshift.key", "k")}))
TAGGED = Answer(Operation("set_version_tag", "demo", "1", "approval", "approved"), 200, 0.1)
MOVED = Answer(Operation("set_alias", "demo", "1", "champion"), 200, 0.1)
TAGS = {("demo", "1"): {"nightshift.key": "k", "approval": "approved"}}
ALIASES = {"demo": {"champion": "1"}}


def line(kind: str, request: str, operation: Operation, status: int = 200) -> dict[str, Any]:
    name = "alias" if operation.kind == "set_alias" else "key"
    change = {"kind": operation.kind, "model": operation.model, "version": operation.version, name: operation.key}
    if operation.kind == "set_version_tag":
        change["value"] = operation.value
    return {"line": kind, "request": request, "change": change, "status": status, "after": {}, "user": "ben"}


def lines_of(*operations: Operation) -> list[dict[str, Any]]:
    """The lines of these operations; before an approval those of the guard, which writes who approved."""
    lines = []
    for number, one in enumerate(operations):
        if one.key == "approval":
            by = one._replace(key="approval.by", value="ben")
            lines += [{**line(kind, f"{number}.by", by), "user": "guard"} for kind in ("asked", "done")]
        lines += [line(kind, str(number), one) for kind in ("asked", "done")]
    return lines


def test_what_is_all_there_is_not_lost() -> None:
    assert in_registry([MADE, TAGGED, MOVED], TAGS, ALIASES) == []
    operations = [one.operation for one in (MADE, TAGGED, MOVED)]
    assert in_ledger(operations, lines_of(*operations)) == []
    assert out_of_order(lines_of(*operations), ALIASES) == []


def test_a_tag_a_version_and_an_alias_that_the_registry_lacks_are_lost() -> None:
    assert len(in_registry([TAGGED], {("demo", "1"): {"approval": "requested"}}, ALIASES)) == 1
    assert len(in_registry([MADE], {("demo", "1"): {"approval": "approved"}}, ALIASES)) == 1
    assert len(in_registry([MADE], {}, ALIASES)) == 1
    assert len(in_registry([MOVED], TAGS, {"demo": {"champion": "2"}})) == 1


def test_an_operation_that_the_ledger_has_not_exactly_once_is_lost() -> None:
    asked, done = lines_of(MOVED.operation)
    for lines in ([], [asked], [done], [asked, asked, done], [asked, done, *map(again, (asked, done))]):
        assert len(in_ledger([MOVED.operation], lines)) == 1, lines
    assert len(in_ledger([MOVED.operation], [asked, {**done, "status": 500}])) == 1
    assert len(in_ledger([], [asked, done])) == 1  # done, and nobody was told


def test_an_approval_whose_approver_the_guard_did_not_write_once_is_lost() -> None:
    asked_by, done_by, *approval = lines_of(TAGGED.operation)
    assert in_ledger([TAGGED.operation], [asked_by, done_by, *approval]) == []
    other = {**done_by, "change": {**done_by["change"], "value": "eve"}}
    for lines in (approval, [asked_by, other, *approval], [done_by, done_by, *approval]):
        (lost,) = in_ledger([TAGGED.operation], lines)
        assert "approved by ben, and the guard did not write so once" in lost


def again(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "request": "again"}


def test_a_registry_that_ends_elsewhere_than_the_ledger_is_named() -> None:
    second = MOVED.operation._replace(version="2")
    assert len(out_of_order(lines_of(MOVED.operation, second), ALIASES)) == 1
    assert out_of_order(lines_of(second, MOVED.operation), ALIASES) == []
