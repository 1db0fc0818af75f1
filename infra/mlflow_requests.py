"""How our processes log in to MLflow, and what they say with a request: MLflow's two extension points for that.

A password is read from its file when a request is sent. It is in no environment, so no program that a step starts
inherits it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from mlflow.tracking.request_auth.abstract_request_auth_provider import RequestAuthProvider
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
from requests.auth import HTTPBasicAuth

from infra.registry_guard.roles import credentials_path, read_private
from infra.settings import given_login, load_settings

PROVIDER = "nightshift"  # value of MLFLOW_TRACKING_AUTH


class Login(NamedTuple):
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


_as: ContextVar[Login | None] = ContextVar("login", default=None)
_saying: ContextVar[dict[str, str]] = ContextVar("headers", default={})  # noqa: B039  never changed, only replaced


@contextmanager
def acting_as(login: Login | None, headers: dict[str, str] | None = None) -> Iterator[None]:
    """Send the requests inside as this account (None: as the process's own), with these headers."""
    one, two = _as.set(login or _as.get()), _saying.set(headers or {})
    try:
        yield
    finally:
        _as.reset(one)
        _saying.reset(two)


def login_now() -> Login | None:
    """Who requests are sent as: whoever was named, else the environment's user, else this process's account."""
    named = _as.get()
    if named is not None:
        return named
    given = given_login()
    if given is not None:
        return Login(*given)
    settings = load_settings()
    return account_login(settings.account)


def account_login(account: str) -> Login | None:
    """An account of our own processes, if its password lies on this machine.

    Raises:
        BadSetting: the file is open to others or damaged.
    """
    found = read_private(credentials_path(load_settings().home)).get(account)
    return Login(account, found["password"]) if found else None


class Auth(RequestAuthProvider):
    def get_name(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]  MLflow's says it returns None
        return PROVIDER

    def get_auth(self) -> Any:
        login = login_now()
        return HTTPBasicAuth(login.user.encode(), login.password.encode()) if login else None


class Headers(RequestHeaderProvider):
    def in_context(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        return bool(_saying.get())

    def request_headers(self) -> dict[str, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return dict(_saying.get())
