"""HTTP hook: the pointer is posted to a service of yours, signed, and repeated until it is taken."""

import base64
import hashlib
import hmac
import time
import uuid

import httpx
from pydantic import Field, SecretStr

from infra.errors import TargetError
from infra.targets.base import Pointer, Target, read_pointer, refuse_other
from infra.targets.http import client, host_of, send, shown, why_not_private

_BUSY = {408, 425, 429}
_TAKEN = {200, 201, 202, 204}
MAX_PAUSE = 30.0  # seconds


class HttpHookTarget(Target):
    """Posts the pointer as JSON. The service answers 2xx once it has taken it, and takes one delivery id once."""

    _block_type_name = "Nightshift HTTP hook target"
    _block_type_slug = "nightshift-http-hook"
    _description = "Posts what shall serve to a service of yours, signed with HMAC-SHA256."

    url: SecretStr = Field(description="Where the pointer is posted to; secret, as many services put a token into it.")
    secret: SecretStr = Field(description="Key of the signature: 32 random characters or more.")
    reads: bool = Field(
        default=False, description="GET of the URL gives the pointer that is in place (404: none). Signed as well."
    )
    timeout_seconds: float = Field(default=10, gt=0, le=300, description="For connecting and between two reads.")
    tries: int = Field(default=4, ge=1, le=10, description="Requests at most where the service is busy or silent.")
    wait_seconds: float = Field(default=1, ge=0, le=30, description="Before the second try; doubled for each further.")

    def check(self) -> list[str]:
        problems = [*self.endpoint_problems(), *self._url_problems()]
        if len(self.secret.get_secret_value()) < 32:
            problems.append("the hook's secret has fewer than 32 characters and could be guessed")
        return problems

    def knows(self) -> bool:
        return self.reads

    def point(self, to: Pointer) -> None:
        self._refuse_url()
        held = self.points_to()
        refuse_other(to.name, held, self._host)
        if to.same(held):
            return
        # an id a move, the same for all its tries; with the pointer's digest a rollback would look like a repetition
        self._ask("POST", to.model_dump_json().encode(), str(uuid.uuid4()))

    def points_to(self) -> Pointer | None:
        if not self.reads:
            return None
        self._refuse_url()
        status, body = self._ask("GET", b"", str(uuid.uuid4()))
        return read_pointer(body, self._host) if status == httpx.codes.OK else None

    @property
    def _host(self) -> str:
        return host_of(self.url.get_secret_value())

    def _url_problems(self) -> list[str]:
        url = self.url.get_secret_value()
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            return ["the hook's URL is none"]
        if parsed.scheme not in ("http", "https") or not parsed.host:
            return ["the hook's URL doesn't begin with http:// or https:// and a host"]
        reason = None if self.allow_http else why_not_private(url)
        return [f"the pointer would be sent to {reason}"] if reason else []

    def _refuse_url(self) -> None:
        for problem in self._url_problems():
            raise TargetError(problem, do="use https, or set allow_http on the block if the network is your own")

    def _ask(self, method: str, body: bytes, delivery: str) -> tuple[int, bytes]:
        """The answer's status and body, after as many tries as it takes; 404 is an answer to GET."""
        url, why = self.url.get_secret_value(), ""
        good = {*_TAKEN, 404} if method == "GET" else _TAKEN
        with client(url, self.timeout_seconds) as asked:
            for attempt in range(self.tries):
                if attempt:
                    time.sleep(min(MAX_PAUSE, self.wait_seconds * 2 ** (attempt - 1)))
                try:
                    status, answer, _ = send(asked, method, url, content=body, headers=self._headers(body, delivery))
                except TargetError as error:
                    why = error.what
                    continue
                if status in good:
                    return status, answer
                why = f"{self._host} says {status}: {shown(answer, self.secret.get_secret_value(), url)}"
                if status < 500 and status not in _BUSY:
                    raise TargetError(f"the hook refuses {method}: {why}", do="read the service's log for its reason")
        raise TargetError(
            f"the hook didn't take {method} in {self.tries} tries; at last: {why}",
            do="see whether the service is up; what it was sent may be repeated safely",
        )

    def _headers(self, body: bytes, delivery: str) -> dict[str, str]:
        """A fresh timestamp for every try, so that a late one isn't taken for a replay; the id stays."""
        at = str(int(time.time()))
        return {
            "Content-Type": "application/json",
            "Idempotency-Key": delivery,
            "X-Nightshift-Delivery-Id": delivery,
            "X-Nightshift-Timestamp": at,
            "X-Nightshift-Signature": signature(self.secret.get_secret_value(), delivery, at, body),
        }


def signature(secret: str, delivery: str, at: str, body: bytes) -> str:
    """``v1,`` and the base64 of HMAC-SHA256 over ``delivery.at.body``: the form of MLflow's webhooks."""
    signed = f"{delivery}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
