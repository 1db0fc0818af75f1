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


def trust(url: str, ca: str | None = None) -> ssl.SSLContext:
    """Whose certificates are believed: those of a CA (PEM), else the usual ones; of nobody where http needs none.

    Raises:
        TargetError: the CA isn't PEM.
    """
    if httpx.URL(url).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the usual ones takes a tenth of a second
    try:
        return ssl.create_default_context(cadata=ca)
    except ssl.SSLError as error:
        raise TargetError(f"the CA for {host_of(url)} isn't PEM: {error}", do="paste the whole certificate") from None


def host_of(url: str) -> str:
    """The part of a URL that messages may show: paths and queries hold tokens at some services."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.host}" + (f":{parsed.port}" if parsed.port else "")


def send(client: httpx.Client, method: str, url: str, **options: Any) -> tuple[int, bytes, httpx.Headers]:
    """One request: status, body and headers. Redirects aren't followed: a secret goes where it was meant to go.

    Raises:
        TargetError: nobody answers, or the answer doesn't end.
    """
    end = time.monotonic() + MAX_SECONDS
    try:
        with client.stream(method, url, follow_redirects=False, **options) as response:
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
