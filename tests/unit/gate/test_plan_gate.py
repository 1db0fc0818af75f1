"""What ``nightshift gate plan`` says of a recipe's gate."""

from tasks.gate.plan_gate import Known, Planned, as_json, in_words, plan_gate
from tasks.recipe import GateSpec

GATE = GateSpec.model_validate(
    {
        "target": "one",
        "planned_decisions": 100,
        "suites": [{"name": "one", "path": "suites/one", "measure": "right", "margin": 0.1, "budget": 0.3}],
    }
)
KNOWN = {"one": Known(families=900, choices=True, spread=0.3)}


def planned(*, candidates: int = 1, tries: int = 0) -> Planned:
    return plan_gate(GATE, KNOWN, 0.5, candidates, tries)


def test_a_night_of_one_decision_says_nothing_of_nights() -> None:
    assert "decisions: 100 are planned" not in in_words(planned())
    assert as_json(planned())["decisions_a_night"] == 1


def test_phases_and_tries_to_harden_are_decisions_of_the_same_night() -> None:
    found = planned(candidates=2, tries=3)
    assert "A night spends up to 5 decisions: 100 are planned, which may be 20 such nights." in in_words(found)
    assert as_json(found)["decisions_a_night"] == 5
    assert as_json(found)["decisions"] == 100


def test_tries_are_judged_after_the_first_and_take_nothing_of_its_alpha() -> None:
    assert planned(tries=3).best == planned().best
    assert planned(candidates=2).best.alpha == planned().best.alpha / 2
