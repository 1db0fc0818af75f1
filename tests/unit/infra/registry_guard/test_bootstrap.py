"""What is there before the server starts: users once, secrets in private files, nothing twice."""

import configparser
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from infra.errors import BadSetting
from infra.ledger import read_ledger
from infra.registry_guard import bootstrap as module
from infra.registry_guard.bootstrap import ACCOUNTS, auth_config, bootstrap, refuse_exposure, set_account
from infra.registry_guard.journal import journal_path
from infra.registry_guard.roles import Roles, credentials_path, read_private, users_path, write_private


class Users:
    """MLflow's table of users, in memory; the real one is in the server's test."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.admins: set[str] = set()
        self.grants: set[tuple[str, str, str, str]] = set()

    def has_user(self, name: str) -> bool:
        return name in self.passwords

    def create_user(self, name: str, password: str, is_admin: bool = False) -> None:
        assert name not in self.passwords
        self.passwords[name] = password
        self.admins |= {name} if is_admin else set()

    def update_user(self, name: str, password: str, is_admin: bool | None = None) -> None:
        self.passwords[name] = password
        if is_admin is not None:
            self.admins = self.admins | {name} if is_admin else self.admins - {name}

    def authenticate_user(self, name: str, password: str) -> bool:
        return self.passwords.get(name) == password

    def grant_user_permission(self, name: str, kind: str, pattern: str, permission: str) -> None:
        self.grants.add((name, kind, pattern, permission))


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Users:
    found = Users()
    monkeypatch.setattr(module, "_store", lambda _database: found)
    return found


def test_the_first_start_makes_every_account_and_shows_peoples_passwords(tmp_path: Path, users: Users) -> None:
    ready = bootstrap(tmp_path, "sqlite:///x")
    assert set(users.passwords) == set(ACCOUNTS)
    assert users.admins == {"admin", "service"}  # MLflow lets admins alone keep webhooks
    assert ready.passwords == {name: users.passwords[name] for name in ("admin", "approver")}
    kept = read_private(credentials_path(tmp_path))
    assert {name: one["password"] for name, one in kept.items()} == {
        name: users.passwords[name] for name in ("trainer", "service")
    }
    assert len(set(users.passwords.values())) == len(ACCOUNTS)
    assert min(len(password) for password in users.passwords.values()) >= 32
    assert {name for name, *_ in users.grants} == {"trainer", "service", "approver"}


def test_a_second_start_changes_and_shows_nothing(tmp_path: Path, users: Users) -> None:
    first = bootstrap(tmp_path, "sqlite:///x")
    before = dict(users.passwords), {path.name: path.read_bytes() for path in (tmp_path / "guard").glob("*.json")}
    second = bootstrap(tmp_path, "sqlite:///x")
    assert second.passwords == {}
    assert (
        dict(users.passwords),
        {path.name: path.read_bytes() for path in (tmp_path / "guard").glob("*.json")},
    ) == before
    changed = {name for name in first.variables if first.variables[name] != second.variables[name]}
    assert changed == {"_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN"}


def test_every_file_is_private_and_no_other_file_is_left(tmp_path: Path, users: Users) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    files = sorted(path for path in (tmp_path / "guard").rglob("*") if path.is_file())
    assert [path.name for path in files] == ["auth.ini", "credentials.json", "keys.json", "users.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "guard").stat().st_mode) == 0o700


def test_peoples_passwords_are_in_no_file_and_in_no_variable(tmp_path: Path, users: Users) -> None:
    ready = bootstrap(tmp_path, "sqlite:///x")
    written = "".join(path.read_text() for path in (tmp_path / "guard").iterdir() if path.is_file())
    for password in ready.passwords.values():
        assert password not in written
    assert not set(users.passwords.values()) & set(ready.variables.values())


@pytest.mark.parametrize("file", ["users.json", "credentials.json", "keys.json"])
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o602, 0o620])
def test_a_file_that_others_may_open_is_refused_by_name(tmp_path: Path, users: Users, file: str, mode: int) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    path = tmp_path / "guard" / file
    path.chmod(mode)
    with pytest.raises(BadSetting, match=f"{file} is open to others"):
        bootstrap(tmp_path, "sqlite:///x")


def test_roles_a_person_changed_stay(tmp_path: Path, users: Users) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    write_private(users_path(tmp_path), json.dumps({**ACCOUNTS, "approver": "reader", "zoe": "approver"}))
    bootstrap(tmp_path, "sqlite:///x")
    assert read_private(users_path(tmp_path)) == {**ACCOUNTS, "approver": "reader", "zoe": "approver"}


@pytest.mark.parametrize("crash_at", range(9))
def test_a_start_cut_short_is_repaired_by_the_next(
    tmp_path: Path, users: Users, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    steps: list[str] = []

    def counted(name: str, real: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> Any:
            steps.append(name)
            if len(steps) - 1 == crash_at:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_private", counted("write", module.write_private))
        patch.setattr(users, "create_user", counted("create", users.create_user))
        with pytest.raises(KeyboardInterrupt):
            bootstrap(tmp_path, "sqlite:///x")
    bootstrap(tmp_path, "sqlite:///x")
    assert set(users.passwords) == set(ACCOUNTS)
    for name, one in read_private(credentials_path(tmp_path)).items():
        assert users.authenticate_user(name, one["password"])
    assert read_private(users_path(tmp_path)) == dict(ACCOUNTS)


def test_a_process_account_whose_password_was_changed_gets_the_one_in_the_file_again(
    tmp_path: Path, users: Users
) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    users.passwords["service"] = "changed"
    bootstrap(tmp_path, "sqlite:///x")
    assert users.passwords["service"] == read_private(credentials_path(tmp_path))["service"]["password"]


def test_a_lost_password_is_replaced_and_the_role_stays(tmp_path: Path, users: Users) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    role, new = set_account(tmp_path, "sqlite:///x", "approver", None)
    assert (role, users.passwords["approver"]) == ("approver", new)


def test_a_role_that_does_not_exist_is_named_before_anything_is_made(tmp_path: Path, users: Users) -> None:
    with pytest.raises(BadSetting, match="zoe the role 'boss'"):
        bootstrap(tmp_path, "sqlite:///x", {"zoe": "boss"})
    assert users.passwords == {}
    assert list(tmp_path.iterdir()) == []


def test_the_roles_file_is_read_again_when_it_changes_and_strangers_read(tmp_path: Path) -> None:
    path = users_path(tmp_path)
    write_private(path, json.dumps({"zoe": "approver"}))
    roles = Roles(path)
    assert (roles.of("zoe"), roles.of("Zoe"), roles.of("eve")) == ("approver", "reader", "reader")
    write_private(path, json.dumps({"zoe": "reader", "eve": "trainer"}))
    assert (roles.of("zoe"), roles.of("eve")) == ("reader", "trainer")
    path.chmod(0o644)
    with pytest.raises(BadSetting, match="open to others"):
        roles.of("zoe")
    path.unlink()
    with pytest.raises(BadSetting, match="is missing"):
        roles.of("zoe")


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_damaged_roles_file_is_named(tmp_path: Path, text: str) -> None:
    write_private(users_path(tmp_path), text)
    with pytest.raises(BadSetting, match=r"users\.json"):
        Roles(users_path(tmp_path)).of("zoe")


def test_a_percent_sign_in_the_databases_password_reaches_mlflow_unchanged() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(auth_config("postgresql://u:a%40b@host/db"))
    assert parser["mlflow"]["database_uri"] == "postgresql://u:a%40b@host/db"
    assert parser["mlflow"]["default_permission"] == "READ"


@pytest.mark.parametrize(
    ("host", "tls", "allowed"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("localhost", False, False),
        ("0.0.0.0", True, False),
        ("0.0.0.0", False, True),
    ],
)
def test_a_server_may_listen_on_loopback_or_behind_tls_or_where_a_person_allows_it(
    host: str, tls: bool, allowed: bool
) -> None:
    refuse_exposure(host, tls=tls, allowed=allowed)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_a_server_that_others_could_reach_without_tls_is_refused(host: str) -> None:
    with pytest.raises(BadSetting, match="without TLS"):
        refuse_exposure(host, tls=False, allowed=False)


def test_a_private_file_that_cannot_be_written_stays_as_it_was_and_leaves_no_password_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials.json"
    write_private(path, '{"old": true}\n')

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, '{"secret": "new"}\n')
    assert read_private(path) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


def test_a_person_gets_an_account_with_a_role_and_a_group_and_a_line_says_so(tmp_path: Path, users: Users) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    role, password = set_account(tmp_path, "sqlite:///x", "zoe", "approver:leads")
    assert (role, users.passwords["zoe"]) == ("approver:leads", password)
    assert read_private(users_path(tmp_path))["zoe"] == "approver:leads"
    assert ("zoe", "registered_model", "*", "EDIT") in users.grants
    line = read_ledger(journal_path(tmp_path))[-1]
    assert (line.kind, line.body["account"], line.body["role"]) == ("account", "zoe", "approver:leads")
    assert password not in journal_path(tmp_path).read_text()
    bootstrap(tmp_path, "sqlite:///x")
    assert read_private(users_path(tmp_path))["zoe"] == "approver:leads"


def test_an_admins_account_is_mlflows_admin_until_it_has_another_role(tmp_path: Path, users: Users) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    set_account(tmp_path, "sqlite:///x", "ida", "admin")
    assert "ida" in users.admins
    set_account(tmp_path, "sqlite:///x", "ida", "reader")
    assert "ida" not in users.admins


@pytest.mark.parametrize(("name", "role"), [("service", None), ("trainer", "approver"), ("eve", "service")])
def test_accounts_of_our_own_processes_are_nobodys_to_set(
    tmp_path: Path, users: Users, name: str, role: str | None
) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    before = dict(users.passwords)
    with pytest.raises(BadSetting, match="our own processes"):
        set_account(tmp_path, "sqlite:///x", name, role)
    assert users.passwords == before


@pytest.mark.parametrize("role", ["boss", "approver:", "approver:Leads", "trainer:leads", ""])
def test_a_role_that_does_not_exist_is_refused_by_its_name(tmp_path: Path, users: Users, role: str) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    if role:
        with pytest.raises(BadSetting, match=f"the role '{role}'"):
            set_account(tmp_path, "sqlite:///x", "zoe", role)
    assert "zoe" not in users.passwords


@pytest.mark.parametrize("name", ["ann, ben", "", " ann", "ann\n", "a" * 101, "-x"])
def test_a_name_that_could_be_read_as_two_is_no_account(tmp_path: Path, users: Users, name: str) -> None:
    bootstrap(tmp_path, "sqlite:///x")
    with pytest.raises(BadSetting, match="can't be called"):
        set_account(tmp_path, "sqlite:///x", name, "approver")
    assert name not in users.passwords
