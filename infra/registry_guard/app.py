"""MLflow's app plugin ``nightshift``: basic-auth, and behind it the guard of the model registry.

Started by ``mlflow server --app-name nightshift``. basic-auth authenticates a request once and leaves the user's name;
the guard takes it from there, before MLflow's handler runs, and writes how it ended after it.
"""

import functools
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask, Response, g, jsonify, request
from mlflow.server import handlers
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from infra.errors import NightshiftError
from infra.registry_guard.books import EXPECTED_HEADER, stale, write_books
from infra.registry_guard.changes import Change, graphql_refusal, read_change
from infra.registry_guard.journal import Asking, Journal, journal_path, utc_now
from infra.registry_guard.locks import ModelLocks
from infra.registry_guard.policy import refuse
from infra.registry_guard.roles import Roles, users_path
from infra.registry_guard.routes import (
    GRAPHQL,
    OTHER,
    READS,
    REFUSED,
    SERVER_KINDS,
    UNDECIDED,
    Route,
    decide,
    routes_of,
)
from infra.registry_guard.sight import Seen, models_of_ours, see, state_of
from infra.registry_guard.terms import User, canonical, user_of, words
from infra.settings import load_settings

_FORBIDDEN, _BAD, _BROKEN, _CONFLICT = 403, 400, 500, 409
_CODES = {
    _CONFLICT: "RESOURCE_CONFLICT",
    _FORBIDDEN: "PERMISSION_DENIED",
    _BAD: "INVALID_PARAMETER_VALUE",
    _BROKEN: "INTERNAL_ERROR",
}


class _Passed(NamedTuple):
    """A request that was let through and whose end is still to be written."""

    asking: Asking


def create_app(app: Flask | None = None) -> Any:
    """The factory that MLflow calls in every server process.

    Raises:
        BadSetting: the roles file is missing or open to others.
        LedgerError: the ledger's chain is broken.
    """
    # reads its configuration when it is imported, so not before a server asks for it
    from mlflow.server import app as mlflow_app
    from mlflow.server.auth import create_app as with_basic_auth

    flask_app = mlflow_app if app is None else app
    served: Any = with_basic_auth(flask_app)  # a FastAPI app around Flask's, under uvicorn
    install(flask_app, load_settings().home)
    if served is not flask_app:
        served.add_middleware(_RefuseNative, blocked=blocked_routes(served.routes))
    return served


def install(app: Flask, home: Path) -> None:
    """Put the guard behind whatever authenticates; separate from ``create_app`` so that a test can use its own."""
    guard = Guard(home)
    guard.check()
    app.before_request(guard.before)
    app.after_request(guard.after)
    app.teardown_request(guard.release)


class Guard:
    """The hooks, and what they keep between requests: the ledger's facts, the roles file, who owns which model."""

    def __init__(self, home: Path) -> None:
        self._locks = ModelLocks(home / "guard" / "locks")
        self._journal = Journal(journal_path(home))
        self._roles = Roles(users_path(home))

    def check(self) -> None:
        """Fail at the start rather than at the first request."""
        self._roles.of("")
        self._journal.look(lambda facts: facts)

    def before(self) -> Response | None:
        """Refuse the request, or write that it was asked for and let it through."""
        rule = request.url_rule
        decision = _decide(request.method, rule.rule) if rule else READS
        if decision in {READS, OTHER}:
            return None
        name = g.get("mlflow_authenticated_user")
        if not name:
            return _answer(_FORBIDDEN, "nobody is logged in; log in and send the request again")
        try:
            return self._judge(decision, name)
        except (NightshiftError, OSError) as error:
            return _answer(_BROKEN, f"the registry guard can't work, so this change was not made: {error}")

    def _judge(self, decision: str, name: str) -> Response | None:
        user = user_of(name, self._roles.of(name))
        if decision == GRAPHQL:
            reason = graphql_refusal(request.get_data())
            return self._refused(_asking(user, Change("graphql")), reason, _FORBIDDEN) if reason else None
        if decision in {REFUSED, UNDECIDED}:
            return self._refused(_asking(user, Change(decision)), _route_reason(decision), _FORBIDDEN)
        change = _read(decision)
        if isinstance(change, str):
            return self._refused(_asking(user, Change(decision)), change, _BAD)
        asking = _asking(user, change)
        g.guard_lock = self._locks.hold(canonical(change.model))
        seen = _see(change)
        state = self._state(change, seen)
        if reason := refuse(user, change, state):
            return self._refused(asking, reason, _FORBIDDEN)
        if reason := stale(change, seen.aliases, request.headers.get(EXPECTED_HEADER)):
            return self._refused(asking, reason, _CONFLICT)
        if state.ours:
            write_books(self._journal, _registry(), asking, state)
        self._journal.asked(asking, seen.shown, state.ours)
        g.guard_passed = _Passed(asking)
        return None

    def after(self, response: Response) -> Response:
        """Write how a change ended; explain a refusal that was MLflow's own."""
        passed: _Passed | None = g.pop("guard_passed", None)
        try:
            if passed is not None:
                self._journal.done(passed.asking, response.status_code, _ended(passed.asking.change, response))
            elif response.status_code == _FORBIDDEN and not g.get("guard_refused"):
                return self._explained(response)
        except (NightshiftError, OSError) as error:
            made = f"MLflow answered {response.status_code}" if passed else "nothing was changed"
            return _answer(_BROKEN, f"the registry guard can't write its ledger ({made}): {error}")
        return response

    def release(self, _error: BaseException | None = None) -> None:
        """Let the next change of this model go on."""
        lock: ExitStack | None = g.pop("guard_lock", None)
        if lock is not None:
            lock.close()

    def _explained(self, response: Response) -> Response:
        """MLflow says "Permission denied" and no more; the policy's reason is the better one, where there is one."""
        decision = _decide(request.method, request.url_rule.rule) if request.url_rule else READS
        name = g.get("mlflow_authenticated_user")
        if decision in {READS, OTHER, GRAPHQL} or not name:
            return response
        user = user_of(name, self._roles.of(name))
        change = _read(decision) if decision not in {REFUSED, UNDECIDED} else Change(decision)
        change = Change(decision) if isinstance(change, str) else change
        state = self._state(change, _see(change))
        reason = refuse(user, change, state) if change.model or change.kind in SERVER_KINDS else None
        default = f"{user.name} has no permission in MLflow to {words(change)}; ask an admin for it"
        return self._refused(_asking(user, change), reason or default, _FORBIDDEN)

    def _state(self, change: Change, seen: Seen) -> Any:
        scanned = frozenset() if change.kind in SERVER_KINDS else self._scanned
        return self._journal.look(lambda facts: state_of(change, seen, facts, scanned, utc_now()))

    @functools.cached_property
    def _scanned(self) -> frozenset[str]:
        return models_of_ours(handlers._get_model_registry_store())

    def _refused(self, asking: Asking, reason: str, status: int) -> Response:
        g.guard_refused = True
        self._journal.refused(asking, reason, status)
        return _answer(status, reason)


@functools.lru_cache(maxsize=1024)
def _decide(method: str, rule: str) -> str:
    return decide(method, rule)


def _read(kind: str) -> Change | str:
    query = list(request.args.items(multi=True))
    return read_change(kind, request.get_data(), query, {name: str(v) for name, v in (request.view_args or {}).items()})


def _asking(user: User, change: Change) -> Asking:
    return Asking(uuid.uuid4().hex, user, request.method, request.path, change)


def _see(change: Change) -> Seen:
    return Seen() if change.kind in SERVER_KINDS or not change.model else see(_registry(), change)


def _registry() -> Any:
    return handlers._get_model_registry_store()


def _ended(change: Change, response: Response) -> dict[str, Any]:
    """What the registry says after the change, not what was asked for; a new version's number is in the answer."""
    if change.kind == "create_version":
        made = (response.get_json(silent=True) or {}).get("model_version", {})
        return {
            "version": made.get("version", ""),
            "created": str(made.get("creation_timestamp", "")),
            "description": made.get("description", ""),
        }
    return dict(_see(change).shown)


def _route_reason(decision: str) -> str:
    what = f"{request.method} {request.path}"
    if decision == REFUSED:
        return f"{what} would change the registry or run commands past the guard; use the registry's own routes"
    return f"{what} is not known to the guard, so it is refused; decide on it in the guard's table of routes"


def _answer(status: int, reason: str) -> Response:
    """As MLflow's REST client and its pages read an error."""
    response = jsonify({"error_code": _CODES[status], "message": reason})
    response.status_code = status
    return response


def blocked_routes(native: Iterable[Any]) -> list[Route]:
    """FastAPI's own routes that go past the guard."""
    return sorted(one for one in routes_of((), native) if decide(*one) in {REFUSED, UNDECIDED})


class _RefuseNative:
    """FastAPI's own routes don't come by Flask's hooks: those that go past the guard are refused before all else."""

    def __init__(self, app: Any, blocked: list[Route]) -> None:
        self._app = app
        self._blocked = [(one.method, compile_path(one.rule)[0]) for one in blocked]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and self._is_blocked(scope["method"], scope["path"]):
            reason = f"{scope['method']} {scope['path']} would go past the registry guard, so this server refuses it"
            await JSONResponse({"error_code": "PERMISSION_DENIED", "message": reason}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_blocked(self, method: str, path: str) -> bool:
        return any(method == one and regex.match(path) for one, regex in self._blocked)
