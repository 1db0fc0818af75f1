"""HTTP as targets need it: URLs that may carry a secret, and one JSON request with readable errors."""

import ipaddress
import json
import ssl
import time
from typing import Any

import httpx

from infra.errors import TargetError

# of one answer: a server that never ends must neither fill the memory nor hold a promotion
MAX_BYTES = 4 << 20
MAX_SECONDS = 300.0


def why_not_private(url: str) -> str | None:
    """Why a secret must not be sent to a URL, or None: plain http is for this machine only."""
    parsed = httpx.URL(url)
    if parsed.scheme == "https" or is_loopback(parsed.host):
        return None
    return f"{parsed.host} over plain {parsed.scheme or 'nothing'}, where others can read it"


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine. A name other than localhost may resolve to anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client(url: str, timeout: float, headers: dict[str, str] | None = None, ca: str | None = None) -> httpx.Client:
    """A client for one server.

    Proxies of the environment aren't used: they would see secrets. Nor are connections kept: a server that closes an
    idle one just then makes a request fail that it never saw.

    Args:
        timeout: seconds, for connecting and between two reads.
        ca: PEM of whose certificates are believed; None: the usual ones.

    Raises:
        TargetError: the CA isn't PEM.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=timeout, headers=headers, trust_env=False, limits=limits, verify=_trust(url, ca))


def _trust(url: str, ca: str | None) -> ssl.SSLContext:
    if httpx.URL(url).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the usual certificates takes a tenth of a second
    try:
        return ssl.create_default_context(cadata=ca)
    except ssl.SSLError as error:
        raise TargetError(f"the CA for {host_of(url)} isn't PEM: {error}", do="paste the whole certificate") from None


def host_of(url: str) -> str:
    """The part of a URL that messages may show: paths and queries hold tokens at some services."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.host}" + (f":{parsed.port}" if parsed.port else "")


def send(to: httpx.Client, method: str, url: str, **options: Any) -> tuple[int, bytes, httpx.Headers]:
    """One request: status, body and headers. Redirects aren't followed: a secret goes where it was meant to go.

    Raises:
        TargetError: nobody answers, or the answer doesn't end.
    """
    end = time.monotonic() + MAX_SECONDS
    try:
        with to.stream(method, url, follow_redirects=False, **options) as response:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > MAX_BYTES or time.monotonic() > end:
                    raise TargetError(
                        f"{host_of(url)} answers with more than {MAX_BYTES >> 20} MiB, or for more than "
                        f"{MAX_SECONDS:.0f} s",
                        do="see whether the URL is the one you mean",
                    )
            return response.status_code, bytes(body), response.headers
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise TargetError(
            f"{host_of(url)} doesn't answer: {type(error).__name__} {str(error)[:200]}".rstrip(),
            do="see whether it runs and can be reached from here",
        ) from None


def as_object(body: bytes, where: str) -> dict[str, Any]:
    """A body that is one JSON object.

    Raises:
        TargetError: it is anything else.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TargetError(
            f"{where} answers with no JSON object: {shown(body)}", do="see whether the URL is the one you mean"
        )
    return found


def shown(body: bytes, *secrets: str) -> str:
    """The beginning of a body for a message, without secrets, should they come back."""
    text = body[:2000].decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return repr(text[:200])
