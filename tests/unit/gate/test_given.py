"""The answers that models gave the gate."""

from pathlib import Path

from infra.digest import digest_of
from infra.store import Blob, Store
from tasks.contracts import Role, ScorecardRef
from tasks.gate.given import answers_given
from tasks.gate.scorecard import ItemResult, Scorecard

D = digest_of("x")


def card(store: Store, role: Role, suite: str, **answers: tuple[str, ...]) -> ScorecardRef:
    results = tuple(ItemResult(id=id_, right=True, score=1.0, answers=given) for id_, given in answers.items())
    made = Scorecard(model=D, suite=suite, items=D, scorer=D, results=results)
    blob = store.put_bytes(made.model_dump_json().encode(), "application/json")
    return ScorecardRef(role=role, suite=suite, model=D, items=D, scorer=D, card=blob)


def test_only_items_that_both_answered_are_compared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cards = [
        card(store, "candidate", "drift", a=("one", "two"), b=("three",)),
        card(store, "champion", "drift", a=("eins",), c=("drei",)),
        card(store, "anchor", "drift", a=("un",)),
        card(store, "candidate", "safety", a=("sure",)),  # the champion's card is missing
    ]
    assert answers_given(cards, store) == {"candidate": ["one", "two"], "champion": ["eins"]}


def test_choices_have_no_answers_and_a_card_that_is_gone_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    gone = Blob(digest_=digest_of("gone"), size=1, media="application/json")
    cards = [
        card(store, "candidate", "accuracy", a=()),
        card(store, "champion", "accuracy", a=()),
        ScorecardRef(role="candidate", suite="drift", model=D, items=D, scorer=D, card=gone),
        card(store, "champion", "drift", a=("eins",)),
    ]
    assert answers_given(cards, store) == {"candidate": [], "champion": []}
