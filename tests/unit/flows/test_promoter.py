"""The promotion service's way of asking: once a decision, again when that was in vain, ever more seldom."""

from flows.deployments import SERVED, entrypoint_of, load
from flows.promoter import Asked, seldom
from tasks.registry.waiting import Due


def test_one_decision_is_asked_for_once_and_again_after_half_a_minute_ever_more_seldom() -> None:
    now, emitted = [1000.0], []
    asked = Asked(lambda name, one: emitted.append((now[0], name, one.version)), lambda: now[0])
    one = Due("promote", 2, "t")
    for second in range(0, 300, 5):
        now[0] = 1000.0 + second
        asked("demo", one)
    assert [at - 1000 for at, *_ in emitted] == [0, 30, 90, 210]
    now[0] += 100_000
    asked("demo", one)
    now[0] += 3600
    asked("demo", one)
    assert len(emitted) == 6


def test_another_decision_on_the_same_version_and_another_model_are_asked_for_at_once() -> None:
    emitted: list[tuple[str, Due]] = []
    asked = Asked(lambda name, one: emitted.append((name, one)), lambda: 1000.0)
    asked("demo", Due("promote", 2, "t"))
    asked("demo", Due("promote", 2, "later"))
    asked("shop", Due("promote", 2, "t"))
    assert len(emitted) == 3


def test_the_service_runs_what_a_person_waits_for_and_none_that_holds_a_pool() -> None:
    names = {load(row.entrypoint).name for row in SERVED}
    assert {"approve", "reject", "promote", "rollback"} <= names
    assert not {"nightly", "rejudge"} & names
    assert all("." in entrypoint_of(row) and ":" not in entrypoint_of(row) for row in SERVED)


def test_a_sentence_is_said_again_only_after_a_while_and_another_one_at_once() -> None:
    now, said = [0.0], []
    say = seldom(lambda text: said.append((now[0], text)), lambda: now[0], 600)
    for second in range(0, 1300, 5):
        now[0] = float(second)
        say("the ledger is broken")
        if second == 5:
            say("version 2 is champion")
    assert said == [
        (0.0, "the ledger is broken"),
        (5.0, "version 2 is champion"),
        (600.0, "the ledger is broken"),
        (1200.0, "the ledger is broken"),
    ]
