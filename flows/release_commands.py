"""The commands about a version after its night, and about who may decide on it: options, and one function each."""

import argparse
import getpass
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

Add = Callable[[str, str], argparse.ArgumentParser]
Handler = Callable[[argparse.Namespace], str]


def add_release_commands(command: Add, demo: str) -> None:
    approve = command("approve", "approve a version that awaits it; its promotion follows")
    approve.add_argument("version", type=int)
    approve.add_argument(
        "--waive",
        default="",
        metavar="REASON",
        help="promote an INCONCLUSIVE version, for this reason; never excuses an anchor bound, FAIL or BLOCK",
    )
    reject = command("reject", "record that a version must not be promoted")
    reject.add_argument("version", type=int)
    reject.add_argument("reason")
    promote = command("promote", "try the promotion of an approved version again")
    promote.add_argument("version", type=int)
    rollback = command("rollback", "make the previous champion, or an earlier one, serve again")
    rollback.add_argument("--to", type=int, metavar="VERSION", help="the version to go back to; default: the previous")
    rollback.add_argument("--reason", default="", help="why, for the record")
    rejudge = command("rejudge", "judge a version's model again, against what serves now; nothing is trained")
    rejudge.add_argument("version", type=int)
    for one in (approve, reject, promote, rollback, rejudge):
        one.add_argument("--name", default="demo", help="registered model (the recipe's name)")
    policy = command("policy", "record the recipe's approval policy and targets in the registry, where they count")
    policy.add_argument("recipe", nargs="?", default=demo)
    account = command("account", "give a person an account for MLflow, another role, or a new password")
    account.add_argument("user")
    account.add_argument("--role", help="approver, approver:GROUP, trainer, reader or admin; default: as it was")


def _approve(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.promotion import approve

    with _as_a_person():
        return call_flow(approve, version=options.version, name=options.name, waive=options.waive)


def _reject(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.promotion import reject

    with _as_a_person():
        return call_flow(reject, version=options.version, reason=options.reason, name=options.name)


def _promote(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.promotion import promote

    return call_flow(promote, version=options.version, name=options.name)


def _rollback(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.promotion import rollback

    return call_flow(rollback, name=options.name, to=options.to, reason=options.reason)


def _rejudge(options: argparse.Namespace) -> str:
    from flows.calls import call_flow
    from flows.rejudge import rejudge
    from tasks.summary import in_words

    return in_words(call_flow(rejudge, version=options.version, name=options.name))


def _policy(options: argparse.Namespace) -> str:
    from flows.initial import record_release_policy

    return record_release_policy(options.recipe)


def _account(options: argparse.Namespace) -> str:
    from infra.registry_guard.bootstrap import set_account, users_database
    from infra.settings import load_settings

    home = load_settings().home
    role, password = set_account(home, users_database(home), options.user, options.role)
    return f"{options.user} ({role}) logs in to MLflow with this password, which is shown only now: {password}"


def _as_a_person() -> AbstractContextManager[Any]:
    """Log in as whoever sits here, where a server wants to know: by MLflow's own variables, or by asking."""
    from infra.errors import BadSetting
    from infra.mlflow_requests import Login, acting_as
    from infra.settings import given_login
    from tasks import place

    if not place.tracking().on_server or given_login() is not None:
        return nullcontext()
    if not sys.stdin.isatty():
        raise BadSetting(
            f"{place.tracking().uri} wants to know who decides, and nobody can be asked here",
            do="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or run it in a terminal",
        )
    return acting_as(Login(input("MLflow user: ").strip(), getpass.getpass("password: ")))


RELEASE: dict[str, Handler] = {
    "approve": _approve,
    "reject": _reject,
    "promote": _promote,
    "rollback": _rollback,
    "rejudge": _rejudge,
    "policy": _policy,
    "account": _account,
}
