"""What the guard itself writes: who decided and when, beside a decision. And the comparison behind a swap."""

from collections.abc import Mapping
from typing import Any

from mlflow.entities.model_registry import ModelVersionTag

from infra.registry_guard.changes import Change
from infra.registry_guard.journal import Asking, Journal
from infra.registry_guard.terms import GUARD, State
from infra.registry_guard.version_tags import books

# MLflow has no compare-and-swap: whoever moves an alias may say in this header which version it must name until then
EXPECTED_HEADER = "X-Nightshift-Expected-Version"
NOTHING = "none"  # the header's value for an alias that must not exist yet


def write_books(journal: Journal, store: Any, asking: Asking, state: State) -> None:
    """Set the tags that go with a decision, before the decision: each with its own lines, as the guard's own changes.

    Args:
        store: MLflow's registry store.
    """
    change = asking.change
    for key, value in books(asking.user, change, state).items():
        own = Change("set_version_tag", change.model, change.version, key, value)
        line = Asking(f"{asking.request}.{key}", GUARD, asking.method, asking.route, own)
        journal.asked(line, {key: state.tags.get(key)}, state.ours)
        store.set_model_version_tag(change.model, change.version, ModelVersionTag(key, value))
        journal.done(line, 200, {key: value})


def stale(change: Change, aliases: Mapping[str, str], expected: str | None) -> str | None:
    """Why an alias may not be swapped: it names another version than whoever moves it looked at. Pure.

    Args:
        expected: the header's value; None where it wasn't sent.
    """
    if expected is None or change.kind not in {"set_alias", "delete_alias"}:
        return None
    found = aliases.get(change.alias, NOTHING)
    if found == expected:
        return None
    return (
        f"{change.alias} of {change.model} names {found}, not {expected} as it did when the move was decided: "
        "somebody moved it; look again and decide anew"
    )
