"""Before the server starts: users with random passwords, roles, keys, and the variables MLflow's app needs.

For its own ``basic-auth`` app alone, ``mlflow server`` checks the secret key, creates the admin and hands its workers a
token for their own calls; any other app's workers would die and be restarted for ever. This does the same for ours.
"""

import re
import secrets
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from infra.errors import BadSetting
from infra.ledger import append_to_tail
from infra.registry_guard.journal import journal_path, utc_now
from infra.registry_guard.roles import (
    as_text,
    checked_roles,
    credentials_path,
    read_private,
    users_path,
    write_private,
)
from infra.settings import on_loopback

# one of each; the names of a team's people are given instead of "approver"
ACCOUNTS: Mapping[str, str] = MappingProxyType(
    {"admin": "admin", "trainer": "trainer", "service": "service", "approver": "approver"}
)
# these roles belong to our own processes, which read their passwords from a file; people are shown theirs once
_PROCESSES = frozenset({"trainer", "service"})
# what MLflow must allow so that the guard can decide; it narrows this to the rules of each role
_GRANTS = {"trainer": "EDIT", "service": "EDIT", "approver": "EDIT"}
# nights log runs into an experiment that a run without a server may have made, which nobody owns then
_LOGS = frozenset({"trainer", "service"})
# `approval.by` lists names with commas between them: one that holds a comma would count as two people
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


class Ready(NamedTuple):
    """What the server is started with, and what a person must be shown now, as it is kept nowhere."""

    variables: dict[str, str]
    passwords: dict[str, str]  # of people's accounts made just now


def bootstrap(
    home: Path, database: str, accounts: Mapping[str, str] = ACCOUNTS, models: tuple[str, ...] = ("*",)
) -> Ready:
    """Make what is missing and leave what is there; safe to repeat, also after a crash in the middle.

    Args:
        database: SQLAlchemy URI of MLflow's users. A password in it ends up in a file of mode 0600.
        accounts: name → role. Roles in the roles file win: a person may have changed them.
        models: registered models on which MLflow lets our roles work; ``*`` is all of them.

    Raises:
        BadSetting: a file is open to others or damaged, or a role doesn't exist.
    """
    checked_roles(accounts, users_path(home))
    roles = {**accounts, **checked_roles(read_private(users_path(home)), users_path(home))}
    keys = _keys(home)
    config = home / "guard" / "auth.ini"
    write_private(config, auth_config(database))
    passwords = _users(home, database, {name: roles[name] for name in accounts}, models)
    # last, as a role without its user is harmless and a user without a role only reads
    write_private(users_path(home), as_text(roles))
    return Ready(_variables(home, config, keys), passwords)


def users_database(home: Path) -> str:
    """Where `nightshift up` keeps MLflow's users."""
    return f"sqlite:///{home / 'guard' / 'users.db'}"


def set_account(home: Path, database: str, name: str, role: str | None) -> tuple[str, str]:
    """Make a person's account, or give one a new password and perhaps another role; its role and password.

    Raises:
        BadSetting: there is no such role, or the account is one of our own processes'.
    """
    roles = checked_roles(read_private(users_path(home)), users_path(home))
    role = role or roles.get(name, "reader")
    checked_roles({name: role}, users_path(home))
    if not _NAME.fullmatch(name):
        raise BadSetting(f"an account can't be called {name!r}", do="use letters, digits, and . _ @ + - in its name")
    if name in read_private(credentials_path(home)) or role == "service":
        raise BadSetting(f"{name} is an account of our own processes, or shall be", do="choose another name or role")
    store, password, admin = _store(database), _password(), role == "admin"
    if store.has_user(name):
        store.update_user(name, password=password, is_admin=admin)
    else:
        store.create_user(name, password, is_admin=admin)
    _grant(store, name, role, ("*",))
    append_to_tail(journal_path(home), "account", {"account": name, "role": role, "by": "the host"}, utc_now)
    write_private(users_path(home), as_text({**roles, name: role}))
    return role, password


def _grant(store: Any, name: str, role: str, models: tuple[str, ...]) -> None:
    base = role.partition(":")[0]
    for model in models if base in _GRANTS else ():
        store.grant_user_permission(name, "registered_model", model, _GRANTS[base])
    if base in _LOGS:
        store.grant_user_permission(name, "experiment", "*", "EDIT")


def auth_config(database: str) -> str:
    """MLflow's configuration of basic-auth: everybody reads, and what more is allowed is granted."""
    # its parser takes a percent sign for a reference
    lines = {
        "default_permission": "READ",
        "database_uri": database.replace("%", "%%"),
        # checking a password takes a tenth of a second of a core by design, and a night sends hundreds of requests
        "auth_cache_ttl_seconds": "60",
    }
    return "[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


def refuse_exposure(host: str, *, tls: bool, allowed: bool) -> None:
    """Passwords go over the wire with every request: other machines may reach the server by TLS only.

    Raises:
        BadSetting: the address is not this machine's own, there is no TLS, and nobody allowed it explicitly.
    """
    if not (tls or allowed or on_loopback(host)):
        raise BadSetting(
            f"the server would listen on {host} without TLS, and passwords would be readable on the network",
            do="listen on 127.0.0.1, put TLS in front of it, or allow it explicitly",
        )


def keys_path(home: Path) -> Path:
    """Keys of the servers: sessions, webhooks at rest, webhooks on their way, and Prefect's API."""
    return home / "guard" / "keys.json"


def _keys(home: Path) -> dict[str, str]:
    """Kept: with new ones at every start, pages lose their sessions and webhooks their secrets, silently."""
    path = keys_path(home)
    made = {
        "flask": secrets.token_urlsafe(32),
        "webhooks": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "receiver": secrets.token_urlsafe(32),
        "prefect": f"nightshift:{secrets.token_urlsafe(24)}",
    }
    kept = read_private(path)
    if not made.keys() <= kept.keys():
        kept = {**made, **kept}
        write_private(path, as_text(kept))
    return kept


def _users(home: Path, database: str, roles: Mapping[str, str], models: tuple[str, ...]) -> dict[str, str]:
    store = _store(database)
    credentials: dict[str, Any] = read_private(credentials_path(home))
    shown: dict[str, str] = {}
    for name, role in roles.items():
        if role in _PROCESSES:
            _process_account(store, home, credentials, name, role)
        elif not store.has_user(name):
            shown[name] = _password()
            store.create_user(name, shown[name], is_admin=role == "admin")
        _grant(store, name, role, models)
    return shown


def _process_account(store: Any, home: Path, credentials: dict[str, Any], name: str, role: str) -> None:
    """In the file first: a crash in between leaves a password without its user, which the next start repairs."""
    if name not in credentials:
        credentials[name] = {"role": role, "password": _password()}
        write_private(credentials_path(home), as_text(credentials))
    password = credentials[name]["password"]
    # MLflow lets admins alone keep webhooks; what else it would let one do, the guard narrows to the role
    admin = role == "service"
    if not store.has_user(name):
        store.create_user(name, password, is_admin=admin)
    elif not store.authenticate_user(name, password):
        store.update_user(name, password=password)


def _store(database: str) -> Any:
    # imports MLflow's whole server, which warns of what one of its libraries will drop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database)
    return store


def _password() -> str:
    return secrets.token_urlsafe(24)


def _variables(home: Path, config: Path, keys: Mapping[str, str]) -> dict[str, str]:
    return {
        "NIGHTSHIFT_HOME": str(home),
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": keys["flask"],
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": keys["webhooks"],
        # the workers needn't look for an admin, and never see a password
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
        # of this start only, as MLflow does it
        "_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN": secrets.token_hex(32),
    }
