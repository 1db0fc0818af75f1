"""The hooks around a request, on a Flask app and a registry of our own: the order of writing, and what goes wrong."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g, jsonify, make_response, request
from flask.testing import FlaskClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.server import handlers
from werkzeug.test import TestResponse

from infra.ledger import read_ledger
from infra.registry_guard import locks
from infra.registry_guard.app import Guard, install
from infra.registry_guard.books import EXPECTED_HEADER, NOTHING
from infra.registry_guard.journal import Journal, journal_path, verify
from infra.registry_guard.locks import ModelLocks
from infra.registry_guard.roles import as_text, users_path, write_private

ROLES = {"ann": "trainer", "zoe": "approver", "yan": "approver", "bot": "service", "root": "admin"}
CREATED = 4_070_908_800_000  # milliseconds, after any line of a test
SET_TAG = "/api/2.0/mlflow/model-versions/set-tag"
ALIAS = "/api/2.0/mlflow/registered-models/alias"
TAGS = {
    "nightshift.key": "k", "nightshift.role": "candidate", "nightshift.verdict": "PASS",
    "nightshift.promotable": "true", "approval": "requested",
    "approval.expires": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
}  # fmt: skip


class Version:
    def __init__(self, name: str, version: str, tags: dict[str, str]) -> None:
        self.name, self.version, self.tags, self.creation_timestamp = name, version, tags, CREATED
        self.description, self.current_stage = "", "None"


class Page(list[Any]):
    token = None


class Registry:
    """As much of MLflow's registry store as the guard looks at."""

    def __init__(self) -> None:
        self.versions: dict[str, Version] = {}
        self.aliases: dict[str, str] = {}
        self.fail: BaseException | None = None

    def get_model_version(self, name: str, version: str) -> Version:
        if version not in self.versions:
            raise MlflowException(f"no {name} {version}", RESOURCE_DOES_NOT_EXIST)
        return self.versions[version]

    def get_model_version_by_alias(self, name: str, alias: str) -> Version:
        return self.get_model_version(name, self.aliases.get(alias, "none"))

    def get_registered_model(self, name: str) -> Any:
        raise MlflowException(f"no {name}", RESOURCE_DOES_NOT_EXIST)

    def set_model_version_tag(self, name: str, version: str, tag: Any) -> None:
        self.versions[version].tags[tag.key] = tag.value

    def search_model_versions(self, **_: Any) -> Page:
        return Page(self.versions.values())

    def search_registered_models(self, **_: Any) -> Page:
        return Page()


class Server:
    def __init__(self, home: Path, registry: Registry) -> None:
        self.home, self.registry = home, registry
        self.app = Flask("guarded")
        self.app.before_request(self.authenticate)
        self.app.add_url_rule(SET_TAG, "tag", self.set_tag, methods=["POST"])
        self.app.add_url_rule(ALIAS, "alias", self.set_alias, methods=["POST"])
        self.app.add_url_rule("/api/2.0/mlflow/model-versions/create", "create", self.create, methods=["POST"])
        self.app.add_url_rule("/api/2.0/mlflow/model-versions/merge", "merge", self.set_tag, methods=["POST"])
        self.app.add_url_rule("/api/2.0/mlflow/runs/log-batch", "log", lambda: "logged", methods=["POST"])
        install(self.app, home)

    def authenticate(self) -> Any:
        if who := request.headers.get("who"):
            g.mlflow_authenticated_user = who
        if request.headers.get("denied"):
            return make_response("Permission denied", 403)
        return None

    def create(self) -> Any:
        body = request.get_json()
        tags = {one["key"]: one["value"] for one in body["tags"]}
        number = str(len(self.registry.versions) + 1)
        self.registry.versions[number] = Version(body["name"], number, tags)
        self._fail()
        return jsonify({"model_version": {"version": number, "creation_timestamp": CREATED}})

    def set_tag(self) -> Any:
        body = request.get_json()
        self.registry.versions[body["version"]].tags[body["key"]] = body["value"]
        self._fail()
        return jsonify({})

    def set_alias(self) -> Any:
        body = request.get_json()
        self.registry.aliases[body["alias"]] = body["version"]
        return jsonify({})

    def _fail(self) -> None:
        if self.registry.fail is not None:
            raise self.registry.fail

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(self, who: str, path: str, body: dict[str, Any], **headers: str) -> TestResponse:
        return self.client().post(path, json=body, headers={"who": who, **headers})

    def lines(self) -> list[tuple[str, str]]:
        return [(one.kind, one.body["user"]) for one in read_ledger(journal_path(self.home))]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    registry = Registry()
    monkeypatch.setattr(handlers, "_get_model_registry_store", lambda: registry)
    write_private(users_path(tmp_path), as_text(ROLES))
    return Server(tmp_path, registry)


def register(server: Server, **more: str) -> TestResponse:
    tags = [{"key": key, "value": value} for key, value in {**TAGS, **more}.items()]
    return server.post("ann", "/api/2.0/mlflow/model-versions/create", {"name": "demo", "source": "s", "tags": tags})


def tag(key: str, value: str) -> dict[str, str]:
    return {"name": "demo", "version": "1", "key": key, "value": value}


def test_a_change_is_on_disk_before_the_handler_runs(server: Server) -> None:
    seen: list[list[tuple[str, str]]] = []
    server.registry.versions["1"] = Version("demo", "1", dict(TAGS))
    server.app.view_functions["tag"] = lambda: seen.append(server.lines()) or jsonify({})
    assert server.post("bot", SET_TAG, tag("nightshift.note", "x")).status_code == 200
    assert seen == [[("asked", "bot")]]
    assert server.lines() == [("asked", "bot"), ("done", "bot")]


def test_the_end_of_a_change_is_what_the_registry_says_then_not_what_was_asked(server: Server) -> None:
    register(server)
    server.app.view_functions["tag"] = lambda: jsonify({})  # answers well and does nothing
    server.post("zoe", SET_TAG, tag("approval", "approved"))
    assert read_ledger(journal_path(server.home))[-1].body["after"] == {"approval": "requested"}


def full_disk(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_ledger_that_cannot_be_written_lets_no_change_through(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(server)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_append", full_disk)
        answer = server.post("zoe", SET_TAG, tag("approval", "approved"))
    assert answer.status_code == 500
    assert "this change was not made" in str(answer.json)
    assert "No space left" in str(answer.json)
    assert server.registry.versions["1"].tags["approval"] == "requested"
    assert server.post("zoe", SET_TAG, tag("approval", "approved")).status_code == 200  # the lock was let go


def test_an_end_that_cannot_be_written_is_said_and_verify_names_the_change(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(server)
    monkeypatch.setattr(Journal, "done", full_disk)
    answer = server.post("zoe", SET_TAG, tag("approval.note", "seen"))
    assert answer.status_code == 500
    assert "MLflow answered 200" in str(answer.json)
    (problem,) = verify(journal_path(server.home))
    assert "zoe asked for set_version_tag demo 1 approval.note seen" in problem


def test_an_edited_ledger_stops_every_change_and_the_start(server: Server) -> None:
    register(server)
    path = journal_path(server.home)
    path.write_text(path.read_text().replace('"user": "ann"', '"user": "eve"'))
    with pytest.raises(Exception, match="was edited"):
        Guard(server.home).check()


def test_a_handler_that_fails_after_the_change_leaves_its_owner_known(server: Server) -> None:
    server.registry.fail = RuntimeError("the database went away")
    assert register(server).status_code == 500
    server.registry.fail = None
    answer = server.post("ann", SET_TAG, tag("nightshift.note", "x"))
    assert answer.status_code == 200, answer.json
    assert server.post("zoe", SET_TAG, tag("approval", "approved")).status_code == 200


def test_a_crash_between_asked_and_done_leaves_its_owner_known(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "done", lambda *_: None)  # killed before
        register(server)
    again = Server(server.home, server.registry)
    assert again.post("ann", SET_TAG, tag("nightshift.note", "x")).status_code == 200
    assert again.post("zoe", SET_TAG, tag("approval", "approved")).status_code == 200
    assert len(verify(journal_path(server.home))) == 1


def test_a_refusal_of_mlflows_own_is_explained_and_written_once(server: Server) -> None:
    register(server)
    answer = server.post("eve", SET_TAG, tag("approval", "approved"), denied="yes")
    assert answer.status_code == 403
    assert "eve (reader) may not set approval" in str(answer.json)
    answer = server.post("zoe", SET_TAG, tag("approval", "approved"), denied="yes")
    assert "zoe has no permission in MLflow" in str(answer.json)
    answer = server.post("zoe", SET_TAG, {"nonsense": 1}, denied="yes")
    assert answer.status_code == 403
    assert server.lines()[2:] == [("refused", "eve"), ("refused", "zoe"), ("refused", "zoe")]


def test_a_refusal_of_a_route_that_is_not_ours_stays_as_it_is(server: Server) -> None:
    answer = server.post("zoe", "/api/2.0/mlflow/runs/log-batch", {}, denied="yes")
    assert (answer.status_code, answer.text) == (403, "Permission denied")
    assert server.lines() == []


def test_a_route_that_is_not_in_the_table_is_refused_by_name(server: Server) -> None:
    register(server)
    answer = server.post("root", "/api/2.0/mlflow/model-versions/merge", tag("approval", "approved"))
    assert answer.status_code == 403
    assert "POST /api/2.0/mlflow/model-versions/merge is not known to the guard" in str(answer.json)
    assert server.lines()[-1] == ("refused", "root")


def test_a_request_that_nobody_authenticated_is_refused(server: Server) -> None:
    answer = server.client().post(SET_TAG, json=tag("approval", "approved"))
    assert answer.status_code == 403
    assert "nobody is logged in" in str(answer.json)


def test_a_name_that_differs_in_case_only_is_the_same_model(server: Server) -> None:
    register(server)
    answer = server.post("eve", ALIAS, {"name": "DEMO", "alias": "champion", "version": "9"})
    assert "eve (reader) may not move alias champion of DEMO" in str(answer.json)


def test_models_with_our_tags_from_before_the_ledger_are_ours_and_have_no_known_owner(server: Server) -> None:
    server.registry.versions["1"] = Version("demo", "1", dict(TAGS))
    assert server.post("eve", ALIAS, {"name": "demo", "alias": "champion", "version": "9"}).status_code == 403
    answer = server.post("zoe", SET_TAG, tag("approval", "approved"))
    assert "doesn't know who registered version 1 of demo" in str(answer.json)


def test_other_routes_and_unknown_paths_pass_untouched(server: Server) -> None:
    assert server.post("ann", "/api/2.0/mlflow/runs/log-batch", {}).text == "logged"
    assert server.post("ann", "/nowhere", {}).status_code == 404
    assert server.lines() == []


def test_two_decisions_at_once_are_judged_one_after_the_other(server: Server) -> None:
    register(server)
    inside, go_on = threading.Event(), threading.Event()
    real = server.app.view_functions["tag"]

    def slow() -> Any:
        inside.set()
        go_on.wait(20)
        return real()

    server.app.view_functions["tag"] = slow
    answers: dict[str, int] = {}

    def decide(who: str, value: str) -> None:
        answers[who] = server.post(who, SET_TAG, tag("approval", value)).status_code

    threads = [threading.Thread(target=decide, args=one) for one in (("zoe", "approved"), ("yan", "rejected: worse"))]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    threads[1].join(0.5)
    assert answers == {}  # the second waits for the first to end
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert answers == {"zoe": 200, "yan": 403}
    assert server.registry.versions["1"].tags["approval"] == "approved"


def test_a_change_that_hangs_lets_others_of_its_model_fail_with_a_reason(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(server)
    monkeypatch.setattr(locks, "_SECONDS", 0.05)
    with ModelLocks(server.home / "guard" / "locks").hold("demo"):
        answer = server.post("zoe", SET_TAG, tag("approval", "approved"))
        other = server.post("bot", ALIAS, {"name": "other", "alias": "shadow", "version": "1"})
    assert answer.status_code == 500
    assert "another change of demo has not ended" in str(answer.json)
    assert other.status_code == 200


def test_who_decided_and_when_is_written_by_the_guard_before_the_decision(server: Server) -> None:
    register(server)
    seen: dict[str, str] = {}
    inner = server.app.view_functions["tag"]

    def handler() -> Any:
        seen.update(server.registry.versions["1"].tags)
        return inner()

    server.app.view_functions["tag"] = handler
    assert server.post("zoe", SET_TAG, tag("approval", "approved")).status_code == 200
    assert seen["approval"] == "requested"
    assert seen["approval.by"] == "zoe"
    assert datetime.fromisoformat(seen["approval.at"]).tzinfo is not None
    lines = [
        (one.kind, one.body["user"], one.body["change"].get("key"))
        for one in read_ledger(journal_path(server.home))[2:]
    ]
    books = [(kind, "guard", key) for key in ("approval.by", "approval.at") for kind in ("asked", "done")]
    assert lines == [*books, ("asked", "zoe", "approval"), ("done", "zoe", "approval")]
    assert verify(journal_path(server.home)) == []


def test_a_decision_whose_name_cannot_be_written_is_not_made(server: Server) -> None:
    register(server)

    def broken(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    server.registry.set_model_version_tag = broken  # pyright: ignore[reportAttributeAccessIssue]
    answer = server.post("zoe", SET_TAG, tag("approval", "approved"))
    assert answer.status_code == 500
    assert server.registry.versions["1"].tags["approval"] == "requested"


def move(version: str) -> dict[str, str]:
    return {"name": "demo", "alias": "champion", "version": version}


def test_an_alias_is_swapped_only_from_the_version_that_the_mover_looked_at(server: Server) -> None:
    register(server)
    server.post("zoe", SET_TAG, tag("approval", "approved"))
    server.registry.versions["9"] = Version("demo", "9", {})
    server.registry.aliases["champion"] = "9"
    late = server.post("bot", ALIAS, move("1"), **{EXPECTED_HEADER: "7"})
    assert late.status_code == 409
    assert "champion of demo names 9, not 7" in str(late.json)
    assert server.registry.aliases["champion"] == "9"
    assert server.post("bot", ALIAS, move("1"), **{EXPECTED_HEADER: NOTHING}).status_code == 409
    assert server.post("bot", ALIAS, move("1"), **{EXPECTED_HEADER: "9"}).status_code == 200
    assert server.registry.aliases["champion"] == "1"
