"""``/metrics``, ``/healthz`` and ``/readyz``: read only, without a login, and without anything that is secret."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.digest import Record
from infra.exposition import CONTENT_TYPE

T = TypeVar("T")

# whoever asks more often gets the same answer: nobody can make this process read its files without end
KEPT_SECONDS = 5.0


class Part(Record):
    """Something that the next night or promotion needs. ``what``, ``do``: what is wrong with it, and what to do."""

    name: str
    ready: bool
    what: str = ""
    do: str = ""


def routes(metrics: Callable[[], bytes], parts: Callable[[], Sequence[Part]]) -> list[Route]:
    """The three pages, each made at most every ``KEPT_SECONDS``.

    ``/healthz`` says that this process answers, and nothing more: who restarts it on anything else makes it worse.
    """
    text, state = _Kept(metrics), _Kept(parts)

    def show(_: Request) -> Response:
        return Response(text(), headers={"content-type": CONTENT_TYPE})

    def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    def ready(_: Request) -> JSONResponse:
        found = state()
        whole = all(one.ready for one in found)
        body = {"ready": whole, "parts": [one.model_dump() for one in found]}
        return JSONResponse(body, 200 if whole else 503)

    return [Route("/metrics", show), Route("/healthz", health), Route("/readyz", ready)]


class _Kept(Generic[T]):
    """The last answer, while it is young; one caller at a time makes the next."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: tuple[float, T] | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] >= KEPT_SECONDS:
                self._made = (time.monotonic(), self._make())
            return self._made[1]
