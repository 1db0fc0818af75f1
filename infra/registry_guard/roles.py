"""Files only their owner may read: who has which role, and the secrets of our own processes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.errors import BadSetting
from infra.files import private_text, write_private  # noqa: F401
from infra.registry_guard.terms import ROLES


def users_path(home: Path) -> Path:
    """Names and roles. MLflow's own table says who may log in."""
    return home / "guard" / "users.json"


def credentials_path(home: Path) -> Path:
    """Names and passwords of the accounts that our own processes use."""
    return home / "guard" / "credentials.json"


class Roles:
    """The roles file, read again when it changes. Who isn't in it reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, ...] = ()
        self._roles: dict[str, str] = {}

    def of(self, name: str) -> str:
        """A user's role.

        Raises:
            BadSetting: the file is missing, open to others, or says a role that doesn't exist.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            raise BadSetting(f"{self._path} is missing", do="start the server with `nightshift up`") from None
        mark = (found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode)
        if mark != self._mark:
            self._roles = checked_roles(read_private(self._path), self._path)
            self._mark = mark
        return self._roles.get(name, "reader")


def checked_roles(found: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Names and roles, every role one of ours.

    Raises:
        BadSetting: names the user and the role.
    """
    for name, role in found.items():
        if role not in ROLES:
            raise BadSetting(f"{path} gives {name} the role {role!r}", do=f"write one of {', '.join(ROLES)}")
    return dict(found)


def read_private(path: Path) -> dict[str, Any]:
    """A JSON object from a file that nobody else may read or write; nothing where there is no file.

    Raises:
        BadSetting: others may open it, or it is no JSON object.
    """
    text = private_text(path)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadSetting(f"{path} can't be read: {error}", do="put back a copy of it") from None
    if not isinstance(found, dict):
        raise BadSetting(f"{path} holds a {type(found).__name__}, not an object", do="put back a copy of it")
    return found


def as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1) + "\n"
