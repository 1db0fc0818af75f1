"""The audit against the real guarded server: read over REST, changed by logins, attacked in its database."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from infra.store import Store
from tasks.registry.auditing import run_audit
from tests.unit.infra.registry_guard.test_server import LATER, REST, SET_TAG, Server, register

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("audited"))
    found.start()
    yield found
    found.stop()


def test_what_logins_did_is_right_and_what_the_database_did_is_found(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.passwords["reader"])
    client, store = MlflowClient(server.url), Store(tmp_path)
    server.made("service", "POST", f"{REST}/registered-models/create", {"name": "shop", "description": "ours"})
    base = register(server, "shop", "service", nightshift__role="base")
    alias = {"name": "shop", "version": base}
    for name in ("anchor", "champion"):
        server.made("service", "POST", f"{REST}/registered-models/alias", {**alias, "alias": name})
    version = register(server, "shop", nightshift__verdict="PASS", approval="requested", approval__expires=LATER)
    decided = {"name": "shop", "version": version, "key": "approval", "value": "approved"}
    server.made("approver", "POST", REST + SET_TAG, decided)
    server.ask("trainer", "POST", REST + SET_TAG, {**decided, "value": "requested"})  # refused
    text = {"name": "shop", "version": version, "description": "no worse"}
    server.made("trainer", "PATCH", f"{REST}/model-versions/update", text)
    server.made("reader", "POST", f"{REST}/registered-models/create", {"name": "theirs"})

    def audit() -> list[tuple[str, str]]:
        report = run_audit(client, server.home, store)
        return [(one.kind, one.what) for one in report.findings if one.kind != "objects"]

    assert audit() == []
    with sqlite3.connect(server.home / "mlflow.db") as database:
        database.execute("update registered_model_aliases set version = ? where alias = 'champion'", (version,))
        database.execute("update model_versions set description = 'far better' where version = ?", (version,))
        database.execute("update registered_models set description = 'theirs' where name = 'shop'")
    found = dict(audit())
    assert f"alias champion of shop points to version {version}, and the journal says '{base}'" in found["alias"]
    assert (server.home / "serving" / "shop.hold.json").exists()
    assert f"the description of version {version} of shop is 'far better'" in str(audit())
    assert "the description of shop is 'theirs'" in str(audit())
