"""Every route of the installed MLflow is decided on; a version that adds one fails here and is refused at run time."""

import json
import subprocess
import sys
from typing import Any

import pytest

from infra.registry_guard.bootstrap import bootstrap
from infra.registry_guard.changes import _REQUIRED
from infra.registry_guard.policy import _RULES
from infra.registry_guard.routes import (
    GRAPHQL,
    KINDS,
    OTHER,
    READS,
    REFUSED,
    SERVER_KINDS,
    TABLE,
    UNDECIDED,
    Route,
    decide,
    plain_path,
    routes_of,
    undecided,
)
from infra.settings import ROOT, child_environment, load_settings

# a process of its own: MLflow's server is configured when it is imported, and its app can be built once only
PROGRAM = """
import json
from mlflow.server import app as flask_app
from mlflow.server.handlers import get_endpoints
from infra.registry_guard.app import blocked_routes, create_app
from infra.registry_guard.routes import routes_of
served = create_app()
from mlflow.server.graphql.graphql_schema_extensions import schema
print("RESULT" + json.dumps({
    "flask": sorted(routes_of(flask_app.url_map.iter_rules(), ())),
    "native": sorted(routes_of((), served.routes)),
    "endpoints": sorted([method, path] for path, _, methods in get_endpoints() for method in methods),
    "blocked": blocked_routes(served.routes),
    "mutations": sorted(schema.graphql_schema.mutation_type.fields),
    "subscriptions": schema.graphql_schema.subscription_type is not None,
    "queries": sorted(schema.graphql_schema.query_type.fields),
}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    ready = bootstrap(home, f"sqlite:///{home / 'users.db'}")
    environment = child_environment(load_settings()) | ready.variables | {"_MLFLOW_SGI_NAME": "uvicorn"}
    stores = {"_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home / 'mlflow.db'}", "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=home,
        env=environment | stores | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("RESULT")[2])


def routes(found: list[list[str]]) -> list[Route]:
    return [Route(*one) for one in found]


@pytest.mark.parametrize("part", ["flask", "native", "endpoints"])
def test_every_route_that_changes_something_is_decided_on(server: dict[str, Any], part: str) -> None:
    found = routes(server[part])
    assert len(found) > 40
    assert undecided(found) == [], "decide on these in infra/registry_guard/routes.py"


def test_the_table_names_no_route_that_mlflow_no_longer_has(server: dict[str, Any]) -> None:
    installed = {(one.method, plain_path(one.rule)) for part in ("flask", "native") for one in routes(server[part])}
    assert sorted(set(TABLE) - installed) == []


def test_every_route_under_the_registry_that_is_no_get_is_a_change_or_a_known_read(server: dict[str, Any]) -> None:
    registry = ("/mlflow/registered-models", "/mlflow/model-versions", "/mlflow/webhooks", "/mlflow/prompts")
    decisions = {
        plain_path(one.rule): decide(*one)
        for one in routes(server["flask"])
        if one.method not in {"GET", "HEAD", "OPTIONS"} and plain_path(one.rule).startswith(registry)
    }
    assert len(decisions) > 15
    other = {path for path, decision in decisions.items() if decision not in KINDS}
    assert other == {"/mlflow/registered-models/get-latest-versions"}


def test_every_change_is_guarded_on_rest_and_on_ajax(server: dict[str, Any]) -> None:
    rest = {(m, plain_path(p)) for m, p in server["flask"] if p.startswith("/api/") and decide(m, p) in KINDS}
    ajax = {(m, plain_path(p)) for m, p in server["flask"] if p.startswith("/ajax-api/") and decide(m, p) in KINDS}
    assert rest - {("POST", "/mlflow/users/create-ui")} == ajax


def test_graphql_has_no_mutation_that_changes_the_registry(server: dict[str, Any]) -> None:
    # the first two search and change nothing, the third echoes a text
    assert server["mutations"] == ["mlflowSearchDatasets", "mlflowSearchRuns", "testMutation"]
    assert server["subscriptions"] is False
    assert [
        one for one in server["queries"] if not one.startswith(("mlflowGet", "mlflowSearch", "mlflowList", "test"))
    ] == []


def test_native_routes_that_go_past_the_guard_are_blocked(server: dict[str, Any]) -> None:
    blocked = {tuple(one) for one in server["blocked"]}
    assert ("POST", "/ajax-api/3.0/jobs/") in blocked
    assert ("POST", "/ajax-api/3.0/mlflow/assistant/message") in blocked
    assert {plain_path(rule).split("/")[1] for _, rule in blocked} == {"jobs", "mlflow"}
    assert all(decide(method, rule) == REFUSED for method, rule in blocked)


def test_a_native_route_of_an_unknown_sort_is_undecided() -> None:
    class WebSocketRoute:
        path = "/live"

    assert undecided(routes_of((), [WebSocketRoute()])) == [Route("WEBSOCKETROUTE", "/live")]


@pytest.mark.parametrize(
    ("method", "rule", "decision"),
    [
        ("POST", "/api/2.0/mlflow/registered-models/alias", "set_alias"),
        ("POST", "/ajax-api/2.0/mlflow/registered-models/alias", "set_alias"),
        ("POST", "/ajax-api/3.0/mlflow/registered-models/alias", "set_alias"),
        ("POST", "/some/prefix/ajax-api/2.0/mlflow/registered-models/alias", "set_alias"),
        ("GET", "/api/2.0/mlflow/registered-models/alias", READS),
        ("DELETE", "/api/2.0/mlflow/webhooks/<webhook_id>", "delete_webhook"),
        ("POST", "/api/2.0/mlflow/webhooks/<webhook_id>/test", "test_webhook"),
        ("POST", "/graphql", GRAPHQL),
        ("GET", "/graphql", GRAPHQL),
        ("POST", "/prefix/graphql", GRAPHQL),
        ("POST", "/api/2.0/mlflow/runs/log-batch", OTHER),
        ("POST", "/ajax-api/3.0/mlflow/demo/generate", REFUSED),
        ("POST", "/api/2.0/mlflow/registered-models/bulk-alias", UNDECIDED),
        ("PUT", "/api/2.0/mlflow/registered-models/alias", UNDECIDED),
        ("POST", "/api/3.0/mlflow/everything/batch", UNDECIDED),
        ("OPTIONS", "/api/2.0/mlflow/registered-models/alias", READS),
    ],
)
def test_a_route_is_decided_by_method_and_path_in_any_spelling(method: str, rule: str, decision: str) -> None:
    assert decide(method, rule) == decision


def test_a_route_that_a_new_version_adds_is_reported() -> None:
    new = Route("POST", "/api/3.0/mlflow/model-versions/promote")
    assert undecided([new, Route("GET", "/api/3.0/mlflow/model-versions/why")]) == [new]


def test_every_kind_of_change_has_a_reader_and_a_rule() -> None:
    assert set(_REQUIRED) == set(_RULES) == KINDS - SERVER_KINDS
