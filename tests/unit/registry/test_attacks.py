"""Ways to get a model to serve that nobody should have let through: each is refused with its reason, nothing changes.

On a registry behind the guard, without a server. The same rules on every route of the real server are in
``tests/unit/infra/registry_guard/test_server.py``, forged and replayed webhooks in ``tests/unit/infra``.
"""

# ruff: noqa: E501  one attack a line

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from infra.digest import digest_of
from infra.errors import LedgerError, NightshiftError
from infra.ledger import ledger_path, read_ledger
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import journal_path
from infra.store import Tree, TreeFile
from tasks.contracts import Model
from tasks.registry.client import model_tags
from tasks.registry.findings import Finding
from tasks.registry.hold import hold
from tasks.registry.initialise import record_policy
from tasks.registry.moves import moves_of
from tasks.registry.promote import promote, rollback
from tasks.release import ApprovalSpec, ReleasePolicy
from tests.registry_world import NAME, World


class Attack(NamedTuple):
    """``plant`` prepares what an attacker did before, unseen; ``go`` is what must be refused."""

    name: str
    go: Callable[[World], Any]
    reason: str
    plant: Callable[[World], Any] = lambda world: None


def asked(world: World, who: str, role: str, change: Change) -> None:
    """A change of the registry that the guard must not let through."""
    registry = world.acting(who, role)
    assert registry._guard is not None

    def never() -> None:
        raise AssertionError("the guard let it through")

    registry._guard.made(change, never)


def tag(who: str, role: str, key: str, value: str, version: int = 2) -> Callable[[World], Any]:
    return lambda world: asked(world, who, role, Change("set_version_tag", NAME, str(version), key, value))


def alias(role: str, name: str, version: int = 2, kind: str = "set_alias") -> Callable[[World], Any]:
    change = Change(kind, NAME, str(version) if kind == "set_alias" else "", alias=name)
    return lambda world: asked(world, role, role, change)


def create(who: str, role: str, **tags: str) -> Callable[[World], Any]:
    named = {key.replace("__", "."): value for key, value in tags.items()}
    return lambda world: asked(world, who, role, Change("create_version", NAME, tags=named))


def promoted(world: World, version: int = 2) -> Any:
    return promote(world.registry, version, world.store, world.home)


def damaged(what: Callable[[World], str]) -> Callable[[World], None]:
    """One byte of an object is another, after the version was approved."""

    def plant(world: World) -> None:
        world.approve()
        path = world.store.path(what(world))
        path.chmod(0o644)
        data = path.read_bytes()
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])

    return plant


def adapter(world: World) -> str:
    assert world.model.adapter is not None
    return world.model.adapter.files[0].digest_


def tokenizer(world: World) -> str:
    return next(file.digest_ for file in world.base.base.files if file.path == "tokenizer.json")


def evidence(world: World) -> str:
    return json.loads(world.registry.version(2).tags["nightshift.evidence"])["digest_"]


def other_model(world: World) -> None:
    """The version's tags are pointed to another model, in the database."""
    world.approve()
    changed = model_tags(world.other("stolen"), None, world.store)
    world.around(2, **{key.replace(".", "__"): value for key, value in changed.items()})


def swapped_tokenizer(world: World) -> None:
    """The evidence is that of a model with another tokenizer, and the tags name it."""
    base = world.base.base
    files = tuple(
        file.model_copy(update={"digest_": world.store.put_bytes(b"{}!").digest_, "size": 3})
        if file.path == "tokenizer.json"
        else file
        for file in base.files
    )
    model = Model(base=Tree(digest_=base.digest_, files=files), adapter=world.model.adapter)
    world.approve(world.register("PASS", night="swapped", model=model))


def traversal(world: World) -> None:
    """A model whose tree writes outside its folder, in a version's tags."""
    blob = world.store.put_bytes(b"owned")
    files = (TreeFile.model_construct(path="../../etc/cron.d/x", digest_=blob.digest_, size=blob.size),)
    reference = json.dumps({"base": {"digest_": digest_of([]), "files": [files[0].model_dump()]}, "adapter": None})
    world.approve()
    world.around(2, nightshift__model_ref=world.store.put_bytes(reference.encode()).model_dump_json())
    world.client.set_registered_model_alias(NAME, "previous", "2")


def pickled(world: World) -> None:
    """An adapter in the old format, which runs code where it is loaded."""
    tree = world.tree("pickle", {"adapter_model.bin": b"\x80\x04cos\nsystem\n."})
    world.approve(world.register("PASS", night="pickle", model=Model(base=world.base.base, adapter=tree)))


def edited_ledger(world: World) -> None:
    world.approve()
    promoted(world)
    path = ledger_path(world.home, NAME)
    path.write_text(path.read_text().replace('"by": "ben"', '"by": "eve"'))


def edited_journal(world: World) -> None:
    path = journal_path(world.home)
    path.write_text(path.read_text().replace('"user": "trainer"', '"user": "eve"'))


def deleted(world: World) -> None:
    """The version is deleted while it awaits its promotion."""
    world.approve()
    world.client.delete_model_version(NAME, "2")


def held(world: World) -> None:
    world.approve()
    hold(
        world.home,
        NAME,
        Finding(kind="alias moved", name=NAME, about=("champion",), what="champion moved", do="look"),
        1,
    )


def moved_alias(world: World) -> None:
    """Somebody moved champion in the database, after a promotion was begun and cut off."""
    world.approve()
    promoted(world)
    (world.home / "serving" / "shop.json").unlink()
    stranger = world.register("PASS", night="stranger")
    world.client.set_registered_model_alias(NAME, "champion", str(stranger))


def rolled_back(world: World) -> None:
    world.approve()
    promoted(world)
    rollback(world.registry, world.store, world.home, "cat")


def late(world: World) -> None:
    world.around(2, approval__expires="2026-01-01T00:00:00+00:00")


def two(world: World) -> None:
    record_policy(world.registry, ReleasePolicy(approval=ApprovalSpec(approvers=2)))
    world.approve(who="ben")


def only_leads(world: World) -> None:
    record_policy(world.registry, ReleasePolicy(approval=ApprovalSpec(roles=("approver:leads",))))


def own_version(world: World) -> None:
    """Ben registered version 3 as a trainer, and is an approver by now."""
    world.trainer = world.acting("ben", "trainer")
    world.register("PASS", night="bens")


FAILED, BLOCKED, OPEN, FAR = 3, 3, 3, 3
YEARS, SOON = "2036-01-01T00:00:00+00:00", "2026-11-26T23:00:00+00:00"
ATTACKS = [
    # approvals
    Attack("a trainer approves its own version", tag("trainer", "trainer", "approval", "approved"), "ask an approver"),
    Attack("a trainer approves another's", tag("tim", "trainer", "approval", "approved"), "ask an approver"),
    Attack("a reader approves", tag("rob", "reader", "approval", "approved"), "ask an admin for another role"),
    Attack("an admin approves", tag("ada", "admin", "approval", "approved"), "ask an admin for another role"),
    Attack("the service account approves", tag("service", "service", "approval", "approved"), "it approves nothing"),
    Attack("an approver approves what they registered", lambda w: w.approve(3, "ben"), "may not decide on it", own_version),
    Attack("an approval comes too late", lambda w: w.approve(), "expired", late),
    Attack("one approver counts twice", lambda w: w.approve(who="ben"), "approved version 2 of shop already", two),
    Attack("half of two approvals promote", promoted, "1 of 2 approvals", two),
    Attack("an approver of another group approves", lambda w: w.approve(), "leaves that to approver:leads", only_leads),
    Attack("a rolled back version is approved again", lambda w: w.approve(), "was rejected: rolled back", rolled_back),
    Attack("an approval is a word that isn't one", tag("ben", "approver", "approval", "Approved"), "write 'approved'"),
    Attack("an approval tag with a space", tag("ben", "approver", "approval ", "approved"), "looks like 'approval'"),
    Attack("an approval is signed by a trainer", tag("trainer", "trainer", "approval.by", "ben"), "ask an approver"),
    Attack("an approval is signed for somebody", tag("service", "service", "approval.by", "ben"), "the ledger says"),
    Attack("an approval is deleted", lambda w: asked(w, "ben", "approver", Change("delete_version_tag", NAME, "2", "approval")), "nobody may"),
    Attack("a request is renewed for years", tag("service", "service", "approval.expires", YEARS), "the policy allows 72 hours"),
    # verdicts and waivers
    Attack("a FAIL is approved", lambda w: w.approve(FAILED), "only PASS can be approved", lambda w: w.register("FAIL")),
    Attack("a FAIL is approved in MLflow", tag("ben", "approver", "approval", "approved", 3), "has the verdict FAIL", lambda w: w.register("FAIL")),
    Attack("a BLOCK is approved", tag("ben", "approver", "approval", "approved", 3), "has the verdict BLOCK", lambda w: w.register("BLOCK")),
    Attack("a FAIL is waived", tag("ben", "approver", "waiver", "please", 3), "a waiver excuses INCONCLUSIVE only", lambda w: w.register("FAIL")),
    Attack("an anchor's bound is waived", tag("ben", "approver", "waiver", "please", 3), "can't be waived", lambda w: w.register("INCONCLUSIVE", anchor_lower=-0.06)),
    Attack("an INCONCLUSIVE goes without a waiver", tag("ben", "approver", "approval", "approved", 3), "set the tag waiver", lambda w: w.register("INCONCLUSIVE", anchor_lower=-0.01)),
    Attack("a verdict is rewritten", tag("trainer", "trainer", "nightshift.verdict", "PASS", 3), "nobody may change it", lambda w: w.register("FAIL")),
    Attack("evidence is exchanged", tag("trainer", "trainer", "nightshift.evidence", "{}"), "nobody may change it"),
    Attack("the model is exchanged", tag("service", "service", "nightshift.model_ref", "{}"), "nobody may change it"),
    # registrations
    Attack("a version comes approved", create("trainer", "trainer", nightshift__role="candidate", approval="approved"), "may not carry approval"),
    Attack("a version comes signed", create("trainer", "trainer", nightshift__role="candidate", approval__by="ben"), "may not carry approval.by"),
    Attack("a request never ends", create("trainer", "trainer", nightshift__role="candidate", approval="requested"), "has no end"),
    Attack("an approver registers", create("ben", "approver", nightshift__role="candidate"), "trainers register versions"),
    Attack("the service account registers a candidate", create("service", "service", nightshift__role="candidate"), "may not register a candidate"),
    # aliases and models
    *(Attack(f"champion is moved by a {role}", alias(role, "champion"), "only the service account moves it") for role in ("trainer", "approver", "reader", "admin")),
    Attack("champion is moved to what nobody approved", alias("service", "champion"), "nobody approved through this server"),
    Attack("previous is the way to champion", alias("service", "previous"), "which never served"),
    Attack("the anchor is moved to what never served", alias("service", "anchor"), "which never served"),
    Attack("champion is deleted", alias("service", "champion", kind="delete_alias"), "without it the gate blocks"),
    Attack("an alias that reads like champion", alias("service", "Champion"), "looks like 'champion'"),
    Attack("what serves is deleted", lambda w: asked(w, "ada", "admin", Change("delete_version", NAME, "1")), "while anchor, champion points to it"),
    Attack("the model is renamed", lambda w: asked(w, "ada", "admin", Change("rename_model", NAME, new_name="x")), "nobody may"),
    Attack("a trainer sets a lax policy", lambda w: record_policy(w.trainer, ReleasePolicy(approval=ApprovalSpec(requester_may_approve=True))), "only the service account may"),
    # evidence and files
    Attack("the adapter is tampered with", promoted, "has been changed", damaged(adapter)),
    Attack("a scorecard is tampered with", promoted, "has been changed", damaged(lambda w: w.card.digest_)),
    Attack("the tokenizer is tampered with", promoted, "has been changed", damaged(tokenizer)),
    Attack("the evidence is tampered with", promoted, "has been changed", damaged(evidence)),
    Attack("the tokenizer is swapped for another", lambda w: promoted(w, 3), "was changed", swapped_tokenizer),
    Attack("the tags name another model", promoted, "the evidence", other_model),
    Attack("an adapter is a pickle", lambda w: promoted(w, 3), "adapter_model.bin", pickled),
    Attack("a tree leaves its folder", lambda w: rollback(w.registry, w.store, w.home, "eve", "", 2), "can't serve", traversal),
    # records
    Attack("an approval is written into the database", promoted, "approved by nobody", lambda w: w.around(2, approval="approved")),
    Attack("an approval is forged with its name", promoted, "nobody approved through this server", lambda w: w.around(2, approval="approved", approval__by="ben")),
    Attack("the ledger is edited", lambda w: rollback(w.registry, w.store, w.home, "eve"), "was edited", edited_ledger),
    Attack("the guard's journal is edited", lambda w: w.approve(), "was edited", edited_journal),
    Attack("a version is deleted while it awaits", promoted, "has no version 2", deleted),
    Attack("champion was moved in the database", promoted, "the last move in its ledger goes from", moved_alias),
    Attack("serving is held", promoted, "is held at version 1", held),
]  # fmt: skip


def everything(world: World) -> tuple[Any, ...]:
    """What must not change: versions with tags, aliases, the model's tags, the recipe's ledger and the manifest."""
    with sqlite3.connect(world.home / "registry.db") as database:
        rows = [
            sorted(database.execute(f"select {columns} from {table}").fetchall(), key=str)
            for table, columns in (
                ("model_versions", "name, version, current_stage, description"),
                ("model_version_tags", "name, version, key, value"),
                ("registered_model_aliases", "name, alias, version"),
                ("registered_model_tags", "name, key, value"),
            )
        ]
    manifest = world.home / "serving" / f"{NAME}.json"
    return (*rows, moves(world), manifest.read_bytes() if manifest.exists() else None)


def moves(world: World) -> Any:
    """Moves that were made; an attempt that was refused is in the ledger too, as abandoned."""
    try:
        return moves_of(read_ledger(ledger_path(world.home, NAME)))
    except LedgerError:
        return ledger_path(world.home, NAME).read_bytes()


def test_there_are_at_least_forty_attacks_and_none_is_listed_twice() -> None:
    assert len({one.name for one in ATTACKS}) == len(ATTACKS) >= 40


@pytest.mark.parametrize("attack", ATTACKS, ids=[one.name.replace(" ", "-") for one in ATTACKS])
def test_an_attack_is_refused_with_its_reason_and_changes_nothing(world: World, attack: Attack) -> None:
    attack.plant(world)
    before = everything(world)
    with pytest.raises(NightshiftError, match=attack.reason) as refused:
        attack.go(world)
    assert refused.value.do.strip()
    assert everything(world) == before


def test_two_approvers_at_the_same_moment_are_one_yes_and_one_reason(world: World) -> None:
    def decide(who: str) -> str:
        try:
            return world.copied_client().approve(who=who)
        except NightshiftError as error:
            return error.what

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(decide, ["ben", "eva"]))
    assert sum("approved by" in one and "already" not in one for one in told) == 1, told
    assert world.registry.version(2).tags["approval.by"] in {"ben", "eva"}


def test_two_promotions_at_the_same_moment_are_one_move(world: World) -> None:
    world.approve()
    with ThreadPoolExecutor(2) as pool:
        told = sorted(pool.map(lambda _: promoted(world.copied_client()), range(2)))
    assert ["is champion" in told[0], "nothing changed" in told[1]] == [True, True], told
    assert ledger_path(world.home, NAME).read_text().count('"promotion"') == 1
