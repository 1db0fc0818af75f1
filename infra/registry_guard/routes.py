"""Every route of the tracking server that changes something, each decided on: which change of the registry it is, or
that it is none. A route that is not in the table is refused while the server runs, and a test fails before that.

One line decides for a route in all its spellings: ``/api/2.0``, ``/api/3.0``, their ``/ajax-api`` twins and a static
prefix. MLflow's names of path parameters don't matter.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

READS = "reads"
OTHER = "not registry"
GRAPHQL = "graphql"
REFUSED = "refused"
UNDECIDED = "undecided"

# changes of the model registry; prompts are registered models and come through the same routes
_CHANGES = """
create_model        POST   /mlflow/registered-models/create
rename_model        POST   /mlflow/registered-models/rename
update_model        PATCH  /mlflow/registered-models/update
delete_model        DELETE /mlflow/registered-models/delete
set_model_tag       POST   /mlflow/registered-models/set-tag
delete_model_tag    DELETE /mlflow/registered-models/delete-tag
set_alias           POST   /mlflow/registered-models/alias
delete_alias        DELETE /mlflow/registered-models/alias
create_version      POST   /mlflow/model-versions/create
update_version      PATCH  /mlflow/model-versions/update
transition_stage    POST   /mlflow/model-versions/transition-stage
delete_version      DELETE /mlflow/model-versions/delete
set_version_tag     POST   /mlflow/model-versions/set-tag
delete_version_tag  DELETE /mlflow/model-versions/delete-tag
create_webhook      POST   /mlflow/webhooks
update_webhook      PATCH  /mlflow/webhooks/{}
delete_webhook      DELETE /mlflow/webhooks/{}
test_webhook        POST   /mlflow/webhooks/{}/test
create_user         POST   /mlflow/users/create
create_user         POST   /mlflow/users/create-ui
set_password        PATCH  /mlflow/users/update-password
set_admin           PATCH  /mlflow/users/update-admin
delete_user         DELETE /mlflow/users/delete
grant_permission    POST   /mlflow/users/permissions/grant
revoke_permission   POST   /mlflow/users/permissions/revoke
create_role         POST   /mlflow/roles/create
update_role         PATCH  /mlflow/roles/update
delete_role         DELETE /mlflow/roles/delete
add_role_permission     POST   /mlflow/roles/permissions/add
remove_role_permission  DELETE /mlflow/roles/permissions/remove
update_role_permission  PATCH  /mlflow/roles/permissions/update
assign_role         POST   /mlflow/roles/assign
unassign_role       DELETE /mlflow/roles/unassign
"""

# what would write into the registry, or run commands beside it, without coming through a route above
_REFUSED = """
POST   /mlflow/demo/generate
POST   /mlflow/demo/delete
POST   /mlflow/prompt-optimization/jobs
POST   /jobs
POST   /mlflow/assistant/message
PATCH  /mlflow/assistant/sessions/{}
POST   /mlflow/assistant/sessions/{}/permission
POST   /mlflow/assistant/sessions/{}/tool-result
PUT    /mlflow/assistant/config
POST   /mlflow/assistant/skills/install
"""

# the last two are misspelt in MLflow 3.17, beside the right ones
_READS = """
POST /mlflow/registered-models/get-latest-versions
POST /mlflow/artifacts/presigned-download-url
POST /mlflow/datasets/search
POST /mlflow/experiments/search
POST /mlflow/experiments/search-datasets
POST /mlflow/issues/search
POST /mlflow/logged-models/search
POST /mlflow/prompt-optimization/jobs/search
POST /mlflow/runs/search
POST /mlflow/traces/batchGetInfos
POST /mlflow/traces/calculate-filter-correlation
POST /mlflow/traces/metrics
POST /mlflow/traces/search
POST /jobs/search
POST /api/2.0mlflow/experiments/search-datasets
POST /ajax-api/2.0mlflow/experiments/search-datasets
"""

# runs, traces, artifacts, gateway, MCP servers (a registry of their own): none changes a model, version, tag or alias
_OTHER = """
POST   /mlflow/artifacts/presigned-upload-url
POST   /mlflow/datasets/create
DELETE /mlflow/datasets/{}
PATCH  /mlflow/datasets/{}/tags
DELETE /mlflow/datasets/{}/tags/{}
POST   /mlflow/datasets/{}/records
DELETE /mlflow/datasets/{}/records
POST   /mlflow/datasets/{}/add-experiments
POST   /mlflow/datasets/{}/remove-experiments
POST   /mlflow/experiments/create
POST   /mlflow/experiments/delete
POST   /mlflow/experiments/delete-experiment-tag
POST   /mlflow/experiments/restore
POST   /mlflow/experiments/set-experiment-tag
POST   /mlflow/experiments/update
POST   /mlflow/gateway-proxy
POST   /mlflow/gateway/budgets/create
POST   /mlflow/gateway/budgets/update
DELETE /mlflow/gateway/budgets/delete
POST   /mlflow/gateway/endpoints/bindings/create
DELETE /mlflow/gateway/endpoints/bindings/delete
POST   /mlflow/gateway/endpoints/create
POST   /mlflow/gateway/endpoints/update
DELETE /mlflow/gateway/endpoints/delete
POST   /mlflow/gateway/endpoints/models/attach
POST   /mlflow/gateway/endpoints/models/detach
POST   /mlflow/gateway/endpoints/set-tag
DELETE /mlflow/gateway/endpoints/delete-tag
POST   /mlflow/gateway/guardrails/add-to-endpoint
POST   /mlflow/gateway/guardrails/create
DELETE /mlflow/gateway/guardrails/delete
DELETE /mlflow/gateway/guardrails/remove-from-endpoint
PATCH  /mlflow/gateway/guardrails/update-config
POST   /mlflow/gateway/model-definitions/create
POST   /mlflow/gateway/model-definitions/update
DELETE /mlflow/gateway/model-definitions/delete
POST   /mlflow/gateway/secrets/create
POST   /mlflow/gateway/secrets/update
DELETE /mlflow/gateway/secrets/delete
POST   /mlflow/genai/evaluate/invoke
POST   /mlflow/issues
PATCH  /mlflow/issues/{}
POST   /mlflow/issues/invoke
PATCH  /mlflow/jobs/cancel/{}
POST   /mlflow/label-schemas/create
PATCH  /mlflow/label-schemas/update
DELETE /mlflow/label-schemas/delete
POST   /mlflow/logged-models
PATCH  /mlflow/logged-models/{}
DELETE /mlflow/logged-models/{}
POST   /mlflow/logged-models/{}/params
PATCH  /mlflow/logged-models/{}/tags
DELETE /mlflow/logged-models/{}/tags/{}
DELETE /mlflow/prompt-optimization/jobs/{}
POST   /mlflow/prompt-optimization/jobs/{}/cancel
POST   /mlflow/review-queues/create
POST   /mlflow/review-queues/delete
POST   /mlflow/review-queues/get-or-create-user
POST   /mlflow/review-queues/items/add
POST   /mlflow/review-queues/items/remove
POST   /mlflow/review-queues/items/set-status
POST   /mlflow/review-queues/update
POST   /mlflow/runs/create
POST   /mlflow/runs/create-promptlab-run
POST   /mlflow/runs/delete
POST   /mlflow/runs/delete-tag
POST   /mlflow/runs/log-batch
POST   /mlflow/runs/log-inputs
POST   /mlflow/runs/log-metric
POST   /mlflow/runs/log-model
POST   /mlflow/runs/log-parameter
POST   /mlflow/runs/outputs
POST   /mlflow/runs/restore
POST   /mlflow/runs/set-tag
POST   /mlflow/runs/update
POST   /mlflow/scorer/invoke
PUT    /mlflow/scorers/online-config
POST   /mlflow/scorers/register
DELETE /mlflow/scorers/delete
POST   /mlflow/traces
PATCH  /mlflow/traces/{}
POST   /mlflow/traces/delete-traces
POST   /mlflow/traces/link-prompts
POST   /mlflow/traces/link-to-run
PATCH  /mlflow/traces/{}/tags
DELETE /mlflow/traces/{}/tags
POST   /mlflow/traces/{}/assessments
PATCH  /mlflow/traces/{}/assessments/{}
DELETE /mlflow/traces/{}/assessments/{}
POST   /mlflow/ui-telemetry
POST   /mlflow/upload-artifact
POST   /mlflow/workspaces
PATCH  /mlflow/workspaces/{}
DELETE /mlflow/workspaces/{}
PUT    /mlflow-artifacts/artifacts/{}
DELETE /mlflow-artifacts/artifacts/{}
POST   /mlflow-artifacts/mpu/create/{}
POST   /mlflow-artifacts/mpu/complete/{}
POST   /mlflow-artifacts/mpu/abort/{}
PATCH  /jobs/cancel/{}
POST   /v1/traces
POST   /gateway/{}/mlflow/invocations
POST   /gateway/mlflow/v1/chat/completions
"""

# areas of which every route is none of the registry's, also one that a later version adds
_OTHER_AREAS = ("/gateway/", "/mlflow/mcp-servers")

_API = re.compile(r"^.*?/(?:ajax-)?api/\d+\.\d+(?=/)")
_PARAMETER = re.compile(r"<[^>]+>|\{[^}]+\}")


def _table() -> dict[tuple[str, str], str]:
    rows = {}
    for line in _CHANGES.strip().splitlines():
        kind, method, path = line.split()
        rows[method, path] = kind
    for text, decision in ((_REFUSED, REFUSED), (_READS, READS), (_OTHER, OTHER)):
        rows |= {(line.split()[0], line.split()[1]): decision for line in text.strip().splitlines()}
    return rows


TABLE = _table()
KINDS = frozenset(TABLE.values()) - {READS, OTHER, REFUSED}
_SERVER = ("/mlflow/webhooks", "/mlflow/users", "/mlflow/roles")
SERVER_KINDS = frozenset(kind for (_, path), kind in TABLE.items() if path.startswith(_SERVER))


class Route(NamedTuple):
    method: str
    rule: str  # as Flask or FastAPI spell it


def plain_path(rule: str) -> str:
    """A route's rule without version, prefix and names of parameters.

    >>> plain_path("/ajax-api/2.0/mlflow/webhooks/<webhook_id>")
    '/mlflow/webhooks/{}'
    """
    return _PARAMETER.sub("{}", _API.sub("", rule)).rstrip("/") or "/"


def decide(method: str, rule: str) -> str:
    """What a route is: a kind of change, or READS, OTHER, GRAPHQL, REFUSED, UNDECIDED."""
    path = plain_path(rule)
    if path.endswith("/graphql"):
        return GRAPHQL
    if method in {"HEAD", "OPTIONS"}:
        return READS
    if found := TABLE.get((method, path)):
        return found
    if method == "GET":
        return READS
    return OTHER if path.startswith(_OTHER_AREAS) else UNDECIDED


def undecided(routes: Iterable[Route]) -> list[Route]:
    """Routes that change something and that nobody has decided on."""
    return sorted({route for route in routes if decide(*route) == UNDECIDED})


def routes_of(flask_rules: Iterable[Any], native: Iterable[Any]) -> set[Route]:
    """All routes of a server.

    Args:
        flask_rules: ``app.url_map.iter_rules()`` of MLflow's Flask app.
        native: the FastAPI routes beside it. Included routers are opened, the Flask app mounted at the root is passed
            over, and what is neither becomes a route that nobody has decided on.
    """
    found = {Route(method, rule.rule) for rule in flask_rules for method in rule.methods or ()}
    for route in native:
        inside = getattr(route, "effective_route_contexts", None)  # newer FastAPI keeps an included router whole
        if inside is not None:
            found |= routes_of((), inside())
        elif methods := getattr(route, "methods", None):
            found |= {Route(method, route.path) for method in methods}
        elif getattr(route, "path", None) != "":
            found.add(Route(type(route).__name__.upper(), getattr(route, "path", "?")))
    return found
