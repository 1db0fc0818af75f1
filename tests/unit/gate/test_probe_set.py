"""The probe set comes from what a night keeps anyway: drift answers, checked answers, sample answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from infra.store import Store
from tasks.contracts import Engine, Model, Role, ScorecardRef, Scores
from tasks.errors import SuiteError
from tasks.gate.probe_set import COUNT, choose, probe_of
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.suites import Check, Item, Message, Scorer, Suite
from tasks.probes import Probe, ProbeMessage

ENGINE = Engine(name="packed", device="cpu", dtype="float32", tokens=1, form="merged", quantise=None)
ANY = digest_of("any")


def suite(name: str, count: int, scorer: Scorer, checks: Sequence[Check] = ()) -> Suite:
    """Conversations of a system message and one question."""
    items = tuple(
        Item(
            id=f"{name}-{number:03}",
            messages=(Message(role="system", content="Be brief."), Message(role="user", content=f"{name} {number}?")),
            checks=tuple(checks),
        )
        for number in range(count)
    )
    return Suite(name=name, scorer=scorer, items=items)


class Night:
    """Suites with every role's answers, as scoring leaves them."""

    def __init__(self, folder: Path) -> None:
        (folder / "base").mkdir()
        (folder / "base" / "weights").write_text("base")
        self.store = Store(folder / "store")
        self.model = Model(base=self.store.put_tree(folder / "base"))
        self.items: dict[str, Suite] = {}
        self.cards: list[ScorecardRef] = []
        self.samples: list[dict[str, str]] = []

    def add(self, shown: Suite, **answers: str) -> None:
        """Args:
        answers: role → what it answers, with ``{id}``; in cards where the role is there.
        """
        self.items[shown.name] = shown
        for role, text in answers.items():
            results = tuple(
                ItemResult(id=item.id, right=True, score=1.0, answers=(text.format(id=item.id),))
                for item in shown.items
            )
            card = Scorecard(model=ANY, suite=shown.name, items=shown.items_digest, scorer=ANY, results=results)
            blob = self.store.put_bytes(card.model_dump_json().encode())
            fields: dict[str, Any] = {"model": ANY, "items": shown.items_digest, "scorer": ANY, "card": blob}
            known: Role = "candidate" if role == "candidate" else "champion" if role == "champion" else "anchor"
            self.cards.append(ScorecardRef(role=known, suite=shown.name, **fields))

    def probes(self) -> tuple[Probe, ...]:
        blob = self.store.put_json(self.samples)
        scores = Scores(cards=tuple(self.cards), engine=ENGINE, noise=(), samples=blob, mlflow_run="")
        found = probe_of(self.model, self.items, scores, self.store)
        assert found.model == self.model.digest
        return found.probes


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


DRIFT = Scorer(kind="drift", max_tokens=32)


def test_drift_answers_become_probes_with_what_the_other_models_said(night: Night) -> None:
    night.add(suite("drift", 3, DRIFT), candidate="new {id}", champion="old {id}", anchor="first {id}")
    found = night.probes()
    assert {one.answer for one in found} == {f"new drift-00{number}" for number in range(3)}
    one = next(one for one in found if one.answer == "new drift-001")
    assert one.conversation == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "drift 1?"},
    ]
    assert (one.others, one.max_tokens) == (("first drift-001", "old drift-001"), 32)


def test_an_answer_that_another_model_gives_too_is_no_other(night: Night) -> None:
    night.add(suite("drift", 1, DRIFT), candidate="same", champion="same", anchor="first")
    assert [one.others for one in night.probes()] == [("first",)]


def test_sample_answers_keep_their_whole_conversation(night: Night) -> None:
    house = suite("house", 6, Scorer())
    night.items["house"] = house
    night.samples = [
        {"prompt": item.messages[-1].content, "champion": "old", "candidate": f"new {item.id}"} for item in house.items
    ]
    found = night.probes()
    assert len(found) == 6
    assert all(len(one.messages) == 2 and one.others == ("old",) and one.max_tokens == 48 for one in found)


@pytest.mark.parametrize(
    "scorer",
    [
        Scorer(kind="choice"),
        Scorer(kind="checks", temperature=0.7, samples=4),
        Scorer(kind="checks", template="none"),
        Scorer(kind="checks", stop=("\n",)),
    ],
    ids=["no answers", "sampled", "no chat", "cut at a stop"],
)
def test_answers_that_a_chat_server_would_not_give_are_left_out(night: Night, scorer: Scorer) -> None:
    night.add(suite("other", 3, scorer, [Check(kind="words", least=1)]), candidate="new {id}", champion="old")
    with pytest.raises(SuiteError, match="kept no answer of the candidate") as refused:
        night.probes()
    assert "gate.drift" in refused.value.do


def test_checked_greedy_answers_are_probes_too(night: Night) -> None:
    scorer = Scorer(kind="checks", max_tokens=64)
    night.add(suite("instruction", 2, scorer, [Check(kind="words", least=1)]), candidate="new {id}")
    assert {one.max_tokens for one in night.probes()} == {64}


def test_a_night_whose_answers_are_all_empty_has_no_probe_set(night: Night) -> None:
    night.add(suite("drift", 3, DRIFT), candidate="  ", champion="old")
    with pytest.raises(SuiteError):
        night.probes()


def test_a_card_that_can_not_be_read_gives_no_probes(night: Night) -> None:
    night.add(suite("drift", 3, DRIFT), candidate="new", champion="old {id}")
    path = night.store.path(night.cards[0].card.digest_)
    path.chmod(0o644)
    path.write_text("edited")
    with pytest.raises(SuiteError):
        night.probes()


def test_a_prompt_that_is_too_long_is_left_out(night: Night) -> None:
    long = suite("drift", 1, DRIFT)
    message = Message(role="user", content="x" * 9000)
    long = long.model_copy(update={"items": (*long.items, Item(id="long", messages=(message,)))})
    night.add(long, candidate="new {id}")
    assert [one.answer for one in night.probes()] == ["new drift-000"]


def made(number: int, *others: str) -> Probe:
    return Probe(messages=(ProbeMessage(role="user", content=str(number)),), answer="a", others=others, max_tokens=1)


def test_those_that_tell_models_apart_come_first_and_the_choice_lasts() -> None:
    telling, alike = [made(number, "b") for number in range(10)], [made(number) for number in range(10, 40)]
    found = choose([*alike, *telling])
    assert len(found) == COUNT
    assert set(found[:10]) == set(telling)
    assert choose([*reversed(telling), *alike, *alike]) == found
