"""register, promote and rollback killed with SIGKILL at every write they make: run again, all records agree.

The writes are intercepted (tests/kill_points.py). Their kinds are written down here: a new one fails the test until
somebody has thought about it.
"""

from pathlib import Path

import pytest

from infra.ledger import ledger_path, read_ledger
from infra.registry_guard.journal import journal_path, verify
from tasks.errors import NotPromotable
from tasks.registry.manifest import read_manifest
from tasks.registry.moves import moves_of
from tasks.registry.promote import finish, promote, rollback
from tests.kill_points import every_kill, kinds_of
from tests.registry_world import NAME, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOURNAL = [
    "database: after a transaction",
    "database: before a commit",
    "open: /guard/locks/*.*",
    "open: /guard/locks/*.lock",
    "open: /guard/locks/*.tickets",
    "os.remove: /guard/locks/*.*",
    "open: /guard/registry.jsonl",
]
MOVE = [
    "open: /ledger/shop.jsonl",
    "open: /promotion.lock",
    "open: /serving/.shop.json.*",
    "os.remove: /serving/.shop.json.*",
    "os.rename: /serving/shop.json",
]


def reopened(world: World, home: Path) -> World:
    """The world in a home that a killed process left."""
    found = object.__new__(World)
    found.__dict__ |= {name: world.__dict__[name] for name in ("base", "model", "card", "version")}
    found._open(home)
    return found


def agree(world: World, champion: int, moves: list[tuple[str, int]]) -> None:
    """Registry, ledger and manifest say the same, nothing is lost and nothing is there twice."""
    entries = read_ledger(ledger_path(world.home, NAME))
    assert [(one.kind, one.version) for one in moves_of(entries)] == moves
    assert world.aliases()["champion"] == champion
    manifest = read_manifest(world.home, NAME)
    assert manifest is not None
    assert (manifest.version, manifest.ledger) == (champion, moves_of(entries)[-1].line)
    assert manifest.model == world.registry.version(champion).tags["nightshift.model"]
    # a crash leaves lines that were asked and never ended; none is edited, removed or moved
    assert [one for one in verify(journal_path(world.home)) if "no line says how it ended" not in one] == []


def test_a_promotion_killed_at_any_write_is_finished_by_the_next_look(world: World, tmp_path: Path) -> None:
    world.approve()

    def work(home: Path) -> None:
        one = reopened(world, home)
        promote(one.registry, one.version, one.store, one.home)

    names, homes = every_kill(lambda home: world.copied(home).home, work, tmp_path / "kills")
    assert kinds_of(names) == sorted([*JOURNAL, *MOVE, "os.mkdir: /ledger", "os.mkdir: /serving"])
    assert len(homes) > 30
    for home in homes:
        one = reopened(world, home)
        finish(one.registry, one.store, one.home)
        promote(one.registry, one.version, one.store, one.home)
        agree(one, 2, [("promotion", 2)])
        assert one.aliases() == {"anchor": 1, "champion": 2, "previous": 1}
        assert one.registry.version(2).tags["nightshift.promoted"]
        assert finish(one.registry, one.store, one.home) is None


def test_a_rollback_killed_at_any_write_is_finished_by_the_next_look(world: World, tmp_path: Path) -> None:
    world.approve()
    promote(world.registry, world.version, world.store, world.home)

    def work(home: Path) -> None:
        one = reopened(world, home)
        rollback(one.registry, one.store, one.home, "cat", "answers too long")

    names, homes = every_kill(lambda home: world.copied(home).home, work, tmp_path / "kills")
    assert kinds_of(names) == sorted([*JOURNAL, *MOVE])
    for home in homes:
        one = reopened(world, home)
        finish(one.registry, one.store, one.home)
        rollback(one.registry, one.store, one.home, "cat", "answers too long")
        agree(one, 1, [("promotion", 2), ("rollback", 1)])
        assert one.aliases() == {"anchor": 1, "champion": 1, "previous": 1}
        assert one.registry.version(2).tags["approval"] == "rejected: rolled back by cat: answers too long"
        with pytest.raises(NotPromotable):
            promote(one.registry, 2, one.store, one.home)


def test_a_registration_killed_at_any_write_makes_one_version_with_a_known_owner(world: World, tmp_path: Path) -> None:
    def work(home: Path) -> None:
        one = reopened(world, home)
        evidence = one.evidence("PASS", night="tonight")
        if one.trainer.by_key(evidence.key) is None:
            one.register("PASS", night="tonight")

    names, homes = every_kill(lambda home: world.copied(home).home, work, tmp_path / "kills")
    assert set(JOURNAL) <= set(names)
    for home in homes:
        one = reopened(world, home)
        work(home)
        tonight = one.evidence("PASS", night="tonight").key
        (version,) = (int(v.version) for v in one.registry.versions() if v.tags["nightshift.key"] == tonight)
        # somebody may decide on it: the ledger knows who registered it
        assert "approved by ben" in one.approve(version)
