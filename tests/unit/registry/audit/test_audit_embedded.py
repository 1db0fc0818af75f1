"""The audit beside the code that registers, approves, promotes and rolls back in a run without a server."""

from datetime import timedelta
from pathlib import Path

import pytest

from infra.ledger import append, ledger_path
from infra.registry_guard.embedded import EmbeddedGuard
from infra.registry_guard.journal import utc_now
from infra.registry_guard.terms import User
from tasks.registry.client import Registry, model_tags
from tasks.registry.decide import approve
from tasks.registry.drill import drill
from tasks.registry.initialise import initialise
from tasks.registry.promote import promote, rollback
from tasks.registry.reanchor import reanchor
from tasks.release import ReleasePolicy
from tests.audited import APPROVER, SERVICE, TRAINER, World


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    return World(tmp_path)


def as_(world: World, user: User) -> Registry:
    return Registry(world.client, "shop", EmbeddedGuard(world.home, world.look, user))


def registered(world: World, key: str) -> int:
    evidence = world._evidence(key)
    blob = world.store.put_bytes(evidence.model_dump_json().encode())
    tags = {
        "nightshift.key": evidence.key,
        "nightshift.role": "candidate",
        "nightshift.night": evidence.night,
        "nightshift.verdict": "PASS",
        "nightshift.promotable": "true",
        "nightshift.evidence": blob.model_dump_json(),
        "approval": "requested",
        "approval.expires": (utc_now() + timedelta(hours=1)).isoformat(),
        **model_tags(world.model, evidence.trained_on, world.store),
    }
    return as_(world, TRAINER).create("store:/x", None, tags, "no worse")


def test_a_whole_life_by_our_own_code_has_no_finding(empty: World) -> None:
    service = as_(empty, SERVICE)
    assert empty.audit().findings == ()
    initialise(service, empty.base, "base", "ann", empty.store, ReleasePolicy())
    assert empty.audit().findings == ()
    version = registered(empty, "first")
    approve(as_(empty, APPROVER), version)
    assert empty.audit().findings == ()
    promote(service, version, empty.store, empty.home)
    drill(service, empty.store, empty.home)
    assert [one.what for one in empty.audit().findings] == []
    rollback(service, empty.store, empty.home, "cat", "it was rude")
    assert [one.what for one in empty.audit().findings] == []
    reanchor(service, empty.store, empty.home, "eva", "spring")
    assert [one.what for one in empty.audit().findings] == []
    empty.client.set_registered_model_alias("shop", "champion", str(version))
    (found,) = empty.audit().critical
    assert "alias champion of shop points to version 2, and the journal says '1'" in found.what


def test_a_ledger_line_that_our_code_did_not_write_before_the_move_is_missed(empty: World) -> None:
    """The line comes too late: a forger who adds it afterwards is not believed."""
    service = as_(empty, SERVICE)
    initialise(service, empty.base, "base", "ann", empty.store, ReleasePolicy())
    version = registered(empty, "first")
    approve(as_(empty, APPROVER), version)
    service.swap_alias("previous", 1, None)
    service.swap_alias("champion", version, 1)
    body = {"version": version, "was": 1, "by": "zoe"}
    append(ledger_path(empty.home, "shop"), "promotion", body, utc_now().replace(year=utc_now().year + 1))
    assert "champion of shop moved from version 1 to 2" in " ".join(one.what for one in empty.audit().critical)
