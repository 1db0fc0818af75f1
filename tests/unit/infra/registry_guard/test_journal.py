"""The registry's ledger: what is asked is on disk first, what never ended is named, and who did what is known."""

import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import LedgerError
from infra.ledger import append_to_tail, read_ledger
from infra.registry_guard.changes import Change
from infra.registry_guard.facts import Facts, shortened
from infra.registry_guard.journal import Asking, Head, Journal, head, verify
from infra.registry_guard.terms import User

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ANN, ZOE, BOT = User("ann", "trainer"), User("zoe", "approver"), User("bot", "service")
CREATED = str(int(datetime(2099, 1, 1, tzinfo=UTC).timestamp() * 1000))  # MLflow counts milliseconds
TAGS = {"nightshift.key": "k1", "approval": "requested"}


def asking(request: str, user: User, change: Change) -> Asking:
    return Asking(request, user, "POST", "/api/2.0/mlflow/x", change)


def made(
    journal: Journal, request: str, user: User, change: Change, status: int = 200, ours: bool = True, **after: str
) -> None:
    one = asking(request, user, change)
    journal.asked(one, {}, ours)
    journal.done(one, status, after)


def tag(version: str, key: str, value: str) -> Change:
    return Change("set_version_tag", "demo", version, key, value)


def filled(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "guard" / "registry.jsonl")
    made(journal, "r1", ANN, Change("create_version", "demo", tags=TAGS), version="3", created=CREATED)
    made(journal, "r2", ZOE, tag("3", "approval", "approved"), approval="approved")
    made(journal, "r3", BOT, Change("set_alias", "demo", "3", alias="champion"), champion="3")
    return journal


def lines_of(journal: Journal) -> list[str]:
    return journal.path.read_text().splitlines(keepends=True)


def test_a_line_says_who_asked_what_when_and_on_which_route(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.refused(asking("r4", ZOE, tag("3", "colour", "red")), "approvers set approval", 403)
    entries = read_ledger(journal.path)
    assert [one.kind for one in entries] == ["asked", "done"] * 3 + ["refused"]
    asked, done = entries[2].body, entries[3].body
    assert {asked["user"], asked["role"], asked["method"], asked["route"]} == {
        "zoe", "approver", "POST", "/api/2.0/mlflow/x",
    }  # fmt: skip
    assert asked["change"] == {
        "kind": "set_version_tag", "model": "demo", "version": "3", "key": "approval", "value": "approved",
    }  # fmt: skip
    assert (done["request"], done["status"], done["after"]) == ("r2", 200, {"approval": "approved"})
    assert entries[6].body["reason"] == "approvers set approval"
    assert verify(journal.path) == []


def test_a_value_of_any_length_makes_a_line_of_bounded_length(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    journal.asked(
        asking("r1", ANN, tag("1", "nightshift.note", "x" * 100_000)), {"nightshift.note": "y" * 100_000}, True
    )
    (line,) = lines_of(journal)
    assert len(line) < 4_000
    assert "(100000 characters, sha256:" in line


def test_long_values_that_differ_at_their_end_only_are_kept_as_different_values() -> None:
    assert shortened("x" * 3000 + "a") != shortened("x" * 3000 + "b")


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda lines: lines[:1] + lines[2:], ["entry 2 was removed"]),
        (lambda lines: lines[:1] + lines[3:], ["entry 2 was removed", "entry 3 was removed"]),
        (lambda lines: lines[1:], ["entry 1 was removed"]),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], ["entry 2 was moved or copied"]),
        (lambda lines: [*lines, lines[2]], ["entry 3 was moved or copied"]),
        (lambda lines: [lines[0].replace("ann", "zoe"), *lines[1:]], ["line 1 (entry 1) was edited"]),
        (
            lambda lines: [
                lines[0],
                lines[1].replace('"status": 200', '"status": 500'),
                lines[2],
                lines[3].replace("zoe", "ann"),
                *lines[4:],
            ],
            ["line 2 (entry 2) was edited", "line 4 (entry 4) was edited"],
        ),
        (lambda lines: [lines[0], "what?\n", *lines[2:]], ["line 2 can't be read"]),
        (lambda lines: [*lines, '{"seq": 7'], ["line 7 is cut off"]),
        (lambda lines: [lines[0], '{"seq": "2"}\n', *lines[2:]], ["line 2 can't be read"]),
    ],
)
def test_a_line_that_was_removed_edited_moved_or_cut_off_is_named(
    tmp_path: Path, change: Callable[[list[str]], list[str]], messages: list[str]
) -> None:
    journal = filled(tmp_path)
    journal.path.write_text("".join(change(lines_of(journal))))
    found = verify(journal.path)
    for message in messages:
        assert any(message in one for one in found), found
    about_lines = [one for one in found if "no line" not in one]  # a lost line leaves its other half alone
    assert len(about_lines) == len(messages), found


def test_a_line_written_anew_with_a_digest_of_its_own_is_named(tmp_path: Path) -> None:
    journal, forged = filled(tmp_path), Journal(tmp_path / "forged.jsonl")
    made(forged, "r1", ZOE, Change("create_version", "demo", tags=TAGS), version="3", created=CREATED)
    journal.path.write_text("".join([lines_of(forged)[0], *lines_of(journal)[1:]]))
    assert any("entry 2 is not bound to entry 1" in one for one in verify(journal.path))


def test_a_removed_end_is_seen_by_whoever_kept_how_far_it_went(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    known = head(journal.path)
    assert known is not None
    assert known.seq == 6
    assert verify(journal.path, known) == []
    journal.path.write_text("".join(lines_of(journal)[:4]))
    assert verify(journal.path) == []  # the chain alone can't know
    assert any("entry 6 is not the one" in one for one in verify(journal.path, known))
    assert any("entry 4" in one for one in verify(journal.path, Head(4, known.digest)))


def test_a_change_that_was_asked_and_never_ended_is_named_with_its_user(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.asked(asking("r9", BOT, Change("set_alias", "demo", "2", alias="champion")), {"champion": "3"}, True)
    (problem,) = verify(journal.path)
    assert "entry 7: bot asked for set_alias demo 2 champion" in problem
    assert "look in MLflow" in problem


def test_an_end_that_nobody_asked_for_is_named(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.done(asking("r9", BOT, Change("set_alias", "demo", "2", alias="champion")), 200, {})
    assert any("entry 7" in one and "no line before asked" in one for one in verify(journal.path))


def test_a_broken_ledger_answers_no_question_and_takes_no_line(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.path.write_text("".join(lines_of(journal)).replace('"user": "bot"', '"user": "eve"'))
    with pytest.raises(LedgerError, match="was edited"):
        Journal(journal.path).look(lambda facts: facts)
    with pytest.raises(LedgerError, match="was edited"):
        journal.asked(asking("r9", ANN, tag("3", "a", "b")), {}, True)


def test_a_ledger_that_becomes_shorter_while_a_server_runs_is_noticed(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.look(lambda facts: facts)
    journal.path.write_text("".join(lines_of(journal)[:2]))
    with pytest.raises(LedgerError, match="became shorter"):
        journal.look(lambda facts: facts)
    journal.path.unlink()
    with pytest.raises(LedgerError, match="is gone"):
        journal.look(lambda facts: facts)


# --- who did what ---


def creator(facts: Facts, version: str = "3", created: str = CREATED) -> str | None:
    return facts.creator("demo", version, TAGS, created)


def test_the_facts_name_who_registered_requested_decided_and_what_served(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    for one in (journal, Journal(journal.path)):  # the same after a restart
        assert one.look(creator) == "ann"
        assert one.look(lambda facts: facts.requesters("demo", "3", TAGS, CREATED)) == {"ann"}
        assert one.look(lambda facts: facts.decided_by("demo", "3", {"approval": "approved"})) == "zoe"
        assert one.look(lambda facts: facts.served("demo")) == {"3"}
        assert one.look(lambda facts: facts.ours) == {"demo"}


def test_lines_of_another_process_are_seen(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "guard" / "registry.jsonl")
    assert journal.look(creator) is None
    filled(tmp_path)
    assert journal.look(creator) == "ann"


def test_a_number_that_comes_again_after_its_model_was_deleted_has_no_old_owner(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    assert journal.look(lambda facts: facts.creator("demo", "3", {}, "999")) is None
    made(journal, "r4", User("root", "admin"), Change("delete_model", "demo"))
    assert journal.look(lambda facts: (creator(facts), facts.served("demo"), facts.ours)) == (None, frozenset(), set())


def test_a_version_whose_registration_was_cut_off_by_a_crash_still_has_its_owner(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    journal.asked(asking("r1", ANN, Change("create_version", "demo", tags=TAGS)), {}, True)
    assert journal.look(creator) == "ann"
    assert journal.look(lambda facts: facts.requesters("demo", "3", TAGS, CREATED)) == {"ann"}
    assert journal.look(lambda facts: facts.creator("demo", "3", {"nightshift.key": "k2"}, CREATED)) is None
    assert journal.look(lambda facts: facts.creator("demo", "3", {}, CREATED)) is None
    assert journal.look(lambda facts: creator(facts, "1", "1")) is None  # made long before anybody asked
    assert journal.look(lambda facts: creator(facts, "1", "")) is None


def test_a_decision_cut_off_by_a_crash_has_its_name_where_the_tag_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    journal.asked(asking("r1", ZOE, tag("3", "approval", "approved")), {}, True)
    assert journal.look(lambda facts: facts.decided_by("demo", "3", {"approval": "approved"})) == "zoe"
    assert journal.look(lambda facts: facts.decided_by("demo", "3", {"approval": "requested"})) is None


def test_a_decision_that_never_ended_gives_way_to_a_later_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    journal.asked(asking("r1", ZOE, tag("3", "approval", "approved")), {}, True)
    made(journal, "r2", User("yan", "approver"), tag("3", "approval", "approved"))
    assert journal.look(lambda facts: facts.decided_by("demo", "3", {"approval": "approved"})) == "yan"


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_change_that_failed_makes_nobody_an_owner_or_decider(tmp_path: Path, status: int) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    made(journal, "r1", ANN, Change("create_version", "demo", tags=TAGS), status, version="3", created=CREATED)
    made(journal, "r2", ZOE, tag("3", "approval", "approved"), status)
    made(journal, "r3", BOT, Change("set_alias", "demo", "3", alias="champion"), status)
    assert journal.look(creator) is None
    assert journal.look(lambda facts: facts.decided_by("demo", "3", {"approval": "approved"})) is None
    assert journal.look(lambda facts: facts.served("demo")) == frozenset()


def test_a_decision_made_before_the_model_was_ours_counts_for_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    made(journal, "r1", ZOE, tag("3", "approval", "approved"), ours=False)
    assert journal.look(lambda facts: facts.decided_by("demo", "3", {"approval": "approved"})) is None


def test_who_failed_to_request_an_approval_still_does_not_decide_on_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    made(journal, "r1", ZOE, tag("3", "approval", "requested"), 500)
    assert journal.look(lambda facts: facts.requesters("demo", "3", {}, CREATED)) == {"zoe"}


def test_a_model_renamed_before_it_was_ours_keeps_its_owners(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    made(journal, "r1", ANN, Change("create_version", "old"), ours=False, version="1", created="5")
    made(journal, "r2", ANN, Change("rename_model", "old", new_name="new"), ours=False)
    assert journal.look(lambda facts: facts.creator("new", "1", {}, "5")) == "ann"
    assert journal.look(lambda facts: facts.creator("old", "1", {}, "5")) is None


# --- many writers, many lines ---


def _write(path: Path, worker: int) -> None:
    journal = Journal(path)
    for number in range(15):
        made(journal, f"{worker}-{number}", ANN, tag(str(number + 1), "nightshift.n", str(worker)))


def test_several_processes_keep_one_chain_with_every_line(tmp_path: Path) -> None:
    path = tmp_path / "registry.jsonl"
    workers = [multiprocessing.Process(target=_write, args=(path, worker)) for worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert verify(path) == []
    requests = [one.body["request"] for one in read_ledger(path) if one.kind == "done"]
    assert sorted(requests) == sorted(f"{w}-{n}" for w in range(2) for n in range(15))


def test_the_cost_of_a_line_does_not_grow_with_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.jsonl"
    for number in range(300):
        append_to_tail(path, "decision", {"n": number, "text": "x" * 1000}, lambda: NOON)
    parsed: list[bytes] = []
    real = __import__("infra.ledger", fromlist=["_entry"])._entry
    monkeypatch.setattr("infra.ledger._entry", lambda line, where: parsed.append(line) or real(line, where))
    append_to_tail(path, "decision", {"n": 300}, lambda: NOON + timedelta(minutes=1))
    assert len(parsed) == 1
    monkeypatch.undo()
    assert [one.body["n"] for one in read_ledger(path)] == list(range(301))
