"""MLflow's webhooks, received: signed, fresh, and each only once. What they say is a hint to look, and nothing more.

MLflow signs ``delivery_id.timestamp.body`` with HMAC-SHA256 (3.17, mlflow/webhooks/delivery.py). Its deliveries name no
user, are not repeated for long, and end silently when its encryption key changes: nothing may depend on one.
"""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

SIGNATURE, TIMESTAMP, DELIVERY = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"
PATH = "/webhooks/mlflow"
STALE_SECONDS = 300.0

_MOST_BYTES = 200_000  # a tag may have a hundred thousand characters
_LONGEST_ID = 100


def signature(secret: str, delivery: str, timestamp: str, body: bytes) -> str:
    signed = f"{delivery}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def refusal(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str | None:
    """Why a delivery isn't MLflow's, or isn't of now; or None. Pure.

    Args:
        headers: with names in lower case.
        now: seconds since the epoch.
    """
    delivery, timestamp = headers.get(DELIVERY, ""), headers.get(TIMESTAMP, "")
    if not 0 < len(delivery) <= _LONGEST_ID or not delivery.isascii():
        return f"the header {DELIVERY} is missing or no id"
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 15:
        return f"the header {TIMESTAMP} is missing or no time"
    expected = signature(secret, delivery, timestamp, body)
    given = headers.get(SIGNATURE, "")
    if not hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode()):
        return f"the header {SIGNATURE} does not match: it was signed with another secret, or changed"
    age = now - int(timestamp)
    if abs(age) > STALE_SECONDS:
        return f"the delivery is of {age:.0f} s ago, and {STALE_SECONDS:.0f} s are allowed"
    return None


class Deliveries:
    """The ids of the last deliveries, also over a restart: one file, cut to what could still be repeated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def first(self, delivery: str, now: float) -> bool:
        """Whether this id wasn't seen before; from now on it was."""
        with self._lock:
            known = {name: at for name, at in self._read().items() if now - at <= 2 * STALE_SECONDS}
            if delivery in known:
                return False
            known[delivery] = now
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".writing")
            temporary.write_text(json.dumps(known))
            temporary.replace(self._path)
            return True

    def _read(self) -> dict[str, float]:
        try:
            return json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:  # cut off by a crash: a repeated hint does no harm
            return {}


def receiver(
    secret: str,
    deliveries: Deliveries,
    clock: Callable[[], float],
    woken: Callable[[], Any],
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The app: a delivery that holds wakes whoever looks into the registry; any other is refused with its reason.

    Args:
        more: pages that this process shows besides.
    """

    async def receive(request: Request) -> JSONResponse:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                return JSONResponse({"refused": f"more than {_MOST_BYTES} bytes"}, 413)
        now = clock()
        reason = refusal({name.lower(): value for name, value in request.headers.items()}, body, secret, now)
        if reason is not None:
            return JSONResponse({"refused": reason}, 401)
        if not deliveries.first(request.headers[DELIVERY], now):
            return JSONResponse({"refused": f"delivery {request.headers[DELIVERY]} was received before"}, 409)
        woken()
        return JSONResponse({"received": request.headers[DELIVERY]})

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route(PATH, receive, methods=["POST"]), Route("/health", health), *more])


def serve(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """Serve in a thread of its own until this process ends."""
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", lifespan="off"))
    threading.Thread(target=server.run, name="webhooks", daemon=True).start()
    return server
