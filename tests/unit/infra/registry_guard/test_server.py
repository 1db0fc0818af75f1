"""The real MLflow server with the guard, on SQLite: real logins; refusals change nothing, changes are written down."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from infra.ledger import read_ledger
from infra.registry_guard.bootstrap import bootstrap
from infra.registry_guard.journal import journal_path, verify
from infra.registry_guard.roles import credentials_path, read_private
from infra.settings import ROOT, child_environment, load_settings

pytestmark = pytest.mark.slow

ACCOUNTS = {
    "admin": "admin", "trainer": "trainer", "other": "trainer", "service": "service", "approver": "approver",
    "second": "approver", "reader": "reader",
}  # fmt: skip
ROLES = ("admin", "trainer", "service", "approver", "reader")
REST, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
EARLIER = (datetime.now(UTC) - timedelta(days=1)).isoformat()


class Server:
    """One server, stopped and started again on the same files."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.passwords: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ready = bootstrap(self.home, f"sqlite:///{self.home / 'users.db'}", ACCOUNTS)
        self.passwords |= ready.passwords
        self.passwords |= {name: one["password"] for name, one in read_private(credentials_path(self.home)).items()}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = self.home / "server.log"
        # an installed entry point, without installing: the editable install doesn't know a new one
        plugin = self.home / "plugin" / "guard_under_test-0.dist-info"
        plugin.mkdir(parents=True, exist_ok=True)
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: guard-under-test\nVersion: 0\n")
        (plugin / "entry_points.txt").write_text("[mlflow.app]\nnightshift = infra.registry_guard.app:create_app\n")
        variables = child_environment(load_settings()) | ready.variables
        variables |= {"PYTHONPATH": f"{ROOT}:{plugin.parent}", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        variables |= {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "nightshift", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.home / 'mlflow.db'}", "--port", str(port)]
        command += ["--artifacts-destination", str(self.home / "artifacts"), "--host", "127.0.0.1"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=variables, stdout=log, stderr=log, cwd=self.home, start_new_session=True
            )
        until = time.monotonic() + 120
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            time.sleep(0.3)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)
        self.process.wait(60)

    def ask(self, who: str | None, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        login = (who, self.passwords[who]) if who else None
        return httpx.request(method, self.url + path, json=body, auth=login, timeout=60, trust_env=False, **more)

    def made(self, who: str, method: str, path: str, body: Any) -> dict[str, Any]:
        answer = self.ask(who, method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tags(self, model: str, version: str) -> dict[str, str]:
        body = {"name": model, "version": version}
        found = self.ask("reader", "GET", f"{REST}/model-versions/get", params=body).json()["model_version"]
        return {one["key"]: one["value"] for one in found.get("tags", [])}

    def aliases(self, model: str) -> dict[str, str]:
        found = self.ask("reader", "GET", f"{REST}/registered-models/get", params={"name": model}).json()
        return {one["alias"]: one["version"] for one in found["registered_model"].get("aliases", [])}

    def lines(self) -> list[dict[str, Any]]:
        return [{"line": one.kind, **one.body} for one in read_ledger(journal_path(self.home))]

    def registry(self) -> Any:
        """All models and versions, but for the times at which they were touched."""
        models = self.ask("reader", "GET", f"{REST}/registered-models/search").json()
        versions = self.ask("reader", "GET", f"{REST}/model-versions/search").json()
        return models, versions


class Model(NamedTuple):
    name: str
    base: str  # version that serves
    candidate: str  # of the trainer, awaits approval


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("guarded"))
    found.start()
    yield found
    found.stop()


NUMBERS = iter(range(1000))


def register(server: Server, model: str, who: str = "trainer", **tags: str) -> str:
    tags = {
        "nightshift.key": f"{model}-{next(NUMBERS)}",
        "nightshift.role": "candidate",
        "nightshift.promotable": "true",
    } | {name.replace("__", "."): value for name, value in tags.items()}
    body = {"name": model, "source": "store:/x", "tags": [{"key": k, "value": v} for k, v in tags.items()]}
    return server.made(who, "POST", f"{REST}/model-versions/create", body)["model_version"]["version"]


@pytest.fixture
def model(server: Server) -> Model:
    name = f"demo-{next(NUMBERS)}"
    server.made("service", "POST", f"{REST}/registered-models/create", {"name": name})
    base = register(server, name, "service", nightshift__role="base")
    for alias in ("anchor", "champion", "previous"):
        server.made(
            "service", "POST", f"{REST}/registered-models/alias", {"name": name, "alias": alias, "version": base}
        )
    return Model(
        name, base, register(server, name, nightshift__verdict="PASS", approval="requested", approval__expires=LATER)
    )


def refused(server: Server, answer: httpx.Response, *words: str) -> None:
    assert answer.status_code == 403, answer.text
    found = answer.json()
    assert found["error_code"] == "PERMISSION_DENIED"
    for word in words:
        assert word in found["message"]
    last = server.lines()[-1]
    assert last["line"] == "refused"
    assert last["reason"] == found["message"]


def tag(model: Model, key: str, value: str, version: str | None = None) -> dict[str, str]:
    return {"name": model.name, "version": version or model.candidate, "key": key, "value": value}


SET_TAG = "/model-versions/set-tag"


@pytest.mark.parametrize("api", [REST, AJAX])
@pytest.mark.parametrize("alias", ["champion", "previous", "anchor"])
def test_nobody_but_the_service_account_moves_or_deletes_an_alias_on_any_route(
    server: Server, model: Model, alias: str, api: str
) -> None:
    before = server.registry()
    move = {"name": model.name, "alias": alias, "version": model.candidate}
    for who in ("admin", "trainer", "approver", "reader"):
        refused(server, server.ask(who, "POST", f"{api}/registered-models/alias", move), who, alias, model.name)
        refused(
            server, server.ask(who, "DELETE", f"{api}/registered-models/alias", {**move, "version": None}), who, alias
        )
    assert server.registry() == before


@pytest.mark.parametrize("api", [REST, AJAX])
def test_nobody_but_an_approver_approves(server: Server, model: Model, api: str) -> None:
    before = server.registry()
    for who in ("admin", "trainer", "other", "service", "reader"):
        refused(server, server.ask(who, "POST", api + SET_TAG, tag(model, "approval", "approved")), who, "approv")
    assert server.registry() == before


def test_an_approval_moves_champion_and_every_line_says_who_what_and_from_what(server: Server, model: Model) -> None:
    begun = len(server.lines())
    alias = {"name": model.name, "alias": "champion", "version": model.candidate}
    refused(server, server.ask("service", "POST", f"{REST}/registered-models/alias", alias), "nobody approved")
    server.made("approver", "POST", AJAX + SET_TAG, tag(model, "approval", "approved"))
    refused(server, server.ask("service", "POST", REST + SET_TAG, tag(model, "approval.by", "second")), "approver")
    server.made("service", "POST", REST + SET_TAG, tag(model, "approval.by", "approver"))
    server.made("service", "POST", f"{REST}/registered-models/alias", alias)
    assert server.aliases(model.name)["champion"] == model.candidate
    assert server.tags(model.name, model.candidate)["approval.by"] == "approver"
    new = server.lines()[begun:]
    assert [(one["line"], one["user"], one["role"]) for one in new] == [
        ("refused", "service", "service"),
        *(("asked", "guard", "guard"), ("done", "guard", "guard")) * 2,  # approval.by and approval.at
        ("asked", "approver", "approver"),
        ("done", "approver", "approver"),
        ("refused", "service", "service"),
        ("asked", "service", "service"),
        ("done", "service", "service"),
        ("asked", "service", "service"),
        ("done", "service", "service"),
    ]
    assert (new[5]["before"], new[6]["after"]) == ({"approval": "requested"}, {"approval": "approved"})
    assert (new[10]["before"], new[11]["after"]) == ({"champion": model.base}, {"champion": model.candidate})
    assert new[5]["route"] == AJAX + SET_TAG
    assert new[5]["request"] == new[6]["request"]
    assert new[6]["status"] == 200
    assert verify(journal_path(server.home)) == []


def test_two_approvers_at_once_get_one_decision(server: Server, model: Model) -> None:

    def decide(one: tuple[str, str]) -> int:
        return server.ask(one[0], "POST", REST + SET_TAG, tag(model, "approval", one[1])).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(decide, [("approver", "approved"), ("second", "rejected: worse")]))
    assert answers == [200, 403]


def test_an_expired_a_failed_and_a_self_registered_version_are_not_approved(server: Server, model: Model) -> None:
    failed = register(server, model.name, nightshift__verdict="FAIL", approval="requested", approval__expires=LATER)
    inconclusive = register(server, model.name, nightshift__verdict="INCONCLUSIVE", nightshift__waivable="true")
    approve = {"key": "approval", "value": "approved", "name": model.name}
    refused(server, server.ask("approver", "POST", REST + SET_TAG, {**approve, "version": failed}), "FAIL")
    refused(server, server.ask("approver", "POST", REST + SET_TAG, {**approve, "version": inconclusive}), "not await")
    server.made("approver", "POST", REST + SET_TAG, tag(model, "waiver", "the bank is small", inconclusive))
    server.made("second", "POST", REST + SET_TAG, {**approve, "version": inconclusive})
    server.made("service", "POST", REST + SET_TAG, tag(model, "waiver.by", "approver", inconclusive))
    body = {
        "name": model.name,
        "source": "store:/x",
        "tags": [{"key": "approval.expires", "value": EARLIER}],
    }
    refused(server, server.ask("trainer", "POST", f"{REST}/model-versions/create", body), "future")


def test_a_forged_new_version_is_refused_whole(server: Server, model: Model) -> None:
    before = server.registry()
    for key, value in (
        ("approval", "approved"),
        ("approval.by", "approver"),
        ("waiver", "x"),
        ("Approval", "approved"),
    ):
        tags = [{"key": "nightshift.key", "value": "f"}, {"key": key, "value": value}]
        body = {"name": model.name, "source": "store:/x", "tags": tags}
        refused(server, server.ask("trainer", "POST", f"{REST}/model-versions/create", body), key)
    assert server.registry() == before


def test_evidence_is_changed_by_nobody_and_a_trainer_touches_own_versions_only(server: Server, model: Model) -> None:
    before = server.registry()
    for who in ("admin", "trainer", "service", "approver", "reader"):
        refused(
            server, server.ask(who, "POST", REST + SET_TAG, tag(model, "nightshift.verdict", "FAIL")), "register a new"
        )
        body = {"name": model.name, "version": model.candidate, "key": "nightshift.verdict"}
        refused(server, server.ask(who, "DELETE", f"{REST}/model-versions/delete-tag", body), "nobody may")
        stage = {
            "name": model.name,
            "version": model.candidate,
            "stage": "Production",
            "archive_existing_versions": True,
        }
        refused(server, server.ask(who, "POST", f"{REST}/model-versions/transition-stage", stage), "stage")
        rename = {"name": model.name, "new_name": "elsewhere"}
        refused(server, server.ask(who, "POST", f"{REST}/registered-models/rename", rename), "rename")
    refused(
        server, server.ask("other", "POST", REST + SET_TAG, tag(model, "nightshift.note", "x")), "trainer registered it"
    )
    assert server.registry() == before
    server.made("trainer", "POST", REST + SET_TAG, tag(model, "nightshift.note", "x"))


def test_an_admin_deletes_neither_a_model_nor_a_version_that_an_alias_points_to(server: Server, model: Model) -> None:
    whole, base = {"name": model.name}, {"name": model.name, "version": model.base}
    for who in ROLES:
        refused(server, server.ask(who, "DELETE", f"{REST}/registered-models/delete", whole), "delete model")
        refused(
            server, server.ask(who, "DELETE", f"{REST}/model-versions/delete", base), f"delete version {model.base}"
        )
    body = {"name": model.name, "version": model.candidate}
    refused(server, server.ask("trainer", "DELETE", f"{REST}/model-versions/delete", body), "only an admin")
    server.made("admin", "DELETE", f"{REST}/model-versions/delete", body)
    assert server.lines()[-2]["before"]["tags"]["nightshift.verdict"] == "PASS"


def test_a_request_with_two_readings_changes_nothing(server: Server, model: Model) -> None:
    before = server.registry()
    raw = json.dumps(tag(model, "approval.note", "x"))[:-1] + ', "key": "approval", "value": "approved"}'
    for content, query in (
        (raw, ""),
        (json.dumps(json.dumps(tag(model, "approval", "approved"))), ""),
        (json.dumps(tag(model, "approval", "approved", f"0{model.candidate}")), ""),
        (json.dumps(tag(model, "approval", "approved")), "?name=other"),
    ):
        answer = httpx.post(
            server.url + REST + SET_TAG + query,
            content=content,
            headers={"content-type": "application/json"},
            auth=("approver", server.passwords["approver"]),
            trust_env=False,
        )
        assert answer.status_code == 400, answer.text
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
        assert server.lines()[-1]["line"] == "refused"
    assert server.registry() == before


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_graphql_answers_queries_and_refuses_mutations(server: Server, model: Model, method: str) -> None:
    query = '{ test(inputString: "x") { output } }'
    answer = server.ask("reader", method, "/graphql", {"query": query})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["test"]["output"] == "x"
    mutation = 'mutation { testMutation(inputString: "x") { output } }'
    for who in ROLES:
        refused(server, server.ask(who, method, "/graphql", {"query": mutation}), "mutation")


def test_routes_past_the_guard_are_refused_to_admins_too(server: Server) -> None:
    refused(server, server.ask("admin", "POST", "/ajax-api/3.0/mlflow/demo/generate", {}), "past the guard")
    for path in ("/ajax-api/3.0/jobs/", "/ajax-api/3.0/mlflow/assistant/message"):
        answer = server.ask("admin", "POST", path, {})
        assert answer.status_code == 403
        assert "past the registry guard" in answer.json()["message"]


def test_who_is_not_logged_in_or_has_a_wrong_password_gets_401_and_leaves_no_trace(
    server: Server, model: Model
) -> None:
    before, lines = server.registry(), len(server.lines())
    body = tag(model, "approval", "approved")
    assert server.ask(None, "POST", REST + SET_TAG, body).status_code == 401
    wrong = httpx.post(server.url + REST + SET_TAG, json=body, auth=("approver", "wrong password"), trust_env=False)
    assert wrong.status_code == 401
    assert (server.registry(), len(server.lines())) == (before, lines)


def test_users_and_webhooks_are_the_admins_and_no_secret_is_written(server: Server) -> None:
    user = {"username": f"new{next(NUMBERS)}", "password": "a-planted-secret-1"}
    hook = {
        "name": "h",
        "url": "https://u:a-planted-secret-4@127.0.0.1/a-planted-secret-2",
        "secret": "a-planted-secret-3",
        "events": [{"entity": "MODEL_VERSION_TAG", "action": "SET"}],
    }
    for who in ("trainer", "service", "approver", "reader"):
        refused(server, server.ask(who, "POST", f"{REST}/users/create", user), "only an admin")
        if who != "service":  # the promotion service keeps its own
            refused(server, server.ask(who, "POST", f"{REST}/webhooks", hook), "only an admin")
    server.made("admin", "POST", f"{REST}/users/create", user)
    assert server.lines()[-1]["change"]["details"] == {"username": user["username"]}
    made = server.made("admin", "POST", f"{REST}/webhooks", hook)
    assert server.lines()[-1]["change"]["details"]["host"] == "127.0.0.1"
    server.made("admin", "DELETE", f"{REST}/webhooks/{made['webhook']['webhook_id']}", {})
    text = journal_path(server.home).read_text()
    for secret in ("a-planted-secret", *server.passwords.values()):
        assert secret not in text
    # made an admin in MLflow, a stranger still has no role of ours
    server.made("admin", "PATCH", f"{REST}/users/update-admin", {"username": user["username"], "is_admin": True})
    server.passwords[user["username"]] = user["password"]
    refused(server, server.ask(user["username"], "POST", f"{REST}/webhooks", hook), "only an admin")


def test_other_peoples_models_are_mlflows_to_decide_and_are_written_down(server: Server) -> None:
    name = f"theirs-{next(NUMBERS)}"
    server.made("reader", "POST", f"{REST}/registered-models/create", {"name": name})
    body = {"name": name, "source": "store:/x"}
    version = server.made("reader", "POST", f"{REST}/model-versions/create", body)["model_version"]["version"]
    alias = {"name": name, "alias": "champion", "version": version}
    server.made("reader", "POST", f"{REST}/registered-models/alias", alias)
    last = server.lines()[-1]
    assert (last["line"], last["user"], last["after"]) == ("done", "reader", {"champion": version})
    body = {"name": name, "version": version, "key": "nightshift.key", "value": "k"}
    refused(server, server.ask("reader", "POST", REST + SET_TAG, body), "nightshift.key")
    server.made("reader", "POST", f"{REST}/registered-models/rename", {"name": name, "new_name": f"{name}-new"})


def test_a_version_that_does_not_exist_is_mlflows_error_and_ends_in_the_ledger(server: Server, model: Model) -> None:
    answer = server.ask("service", "POST", REST + SET_TAG, tag(model, "nightshift.note", "x", "99"))
    assert answer.status_code == 404
    assert (server.lines()[-1]["line"], server.lines()[-1]["status"]) == ("done", 404)


def test_a_roles_file_open_to_others_stops_every_change_until_it_is_closed(server: Server, model: Model) -> None:
    before, path = server.registry(), server.home / "guard" / "users.json"
    path.chmod(0o644)
    try:
        answer = server.ask("trainer", "POST", REST + SET_TAG, tag(model, "nightshift.note", "x"))
    finally:
        path.chmod(0o600)
    assert answer.status_code == 500
    assert "open to others" in answer.json()["message"]
    assert server.registry() == before
    server.made("trainer", "POST", REST + SET_TAG, tag(model, "nightshift.note", "x"))


def test_a_killed_and_restarted_server_still_knows_who_registered_what(server: Server, model: Model) -> None:
    lines, registry = server.lines(), server.registry()
    server.stop(signal.SIGKILL)
    server.start()
    assert server.lines() == lines
    assert server.registry() == registry
    refused(
        server, server.ask("other", "POST", REST + SET_TAG, tag(model, "nightshift.note", "x")), "trainer registered it"
    )
    refused(server, server.ask("trainer", "POST", REST + SET_TAG, tag(model, "approval", "approved")), "trainer")
    server.made("approver", "POST", REST + SET_TAG, tag(model, "approval", "approved"))
    assert verify(journal_path(server.home)) == []
