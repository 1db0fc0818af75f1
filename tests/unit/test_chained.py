"""Which phases may follow each other in a recipe, and what is refused by name."""

from typing import Any

import pytest

from infra.settings import ROOT
from tasks import chained, phases
from tasks.chained import chain_problems
from tasks.errors import RecipeError
from tasks.phases import METHODS, Phase
from tasks.recipe import Recipe, load_recipe

DEMO = load_recipe(ROOT / "recipes" / "demo.toml").model_dump(exclude_unset=True)
PPO = {"method": "ppo", "reward": "not_refused"}


def phase(**given: Any) -> Phase:
    return Phase.model_validate({"max_steps": 4, **given})


def recipe(*given: dict[str, Any], **changes: Any) -> Recipe:
    return Recipe.model_validate(DEMO | {"phase": [{"max_steps": 4, **one} for one in given]} | changes)


def with_model(**given: Any) -> Phase:
    """A phase that learns from a reward model, whatever the methods are called by then."""
    return phase(**PPO, **given).model_copy(update={"reward": ("model",)})


@pytest.fixture
def rewarding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `sft` trained a reward model."""
    monkeypatch.setitem(METHODS, "sft", METHODS["sft"]._replace(makes="reward"))


@pytest.mark.parametrize(
    "given",
    [
        ({}, PPO),
        ({"adapter": "rslora"}, {"adapter": "qlora"}, PPO),
        ({"adapter": "dora"},),
        ({"adapter": "full"}, {"adapter": "dora"}),
        ({"adapter": "dora"}, {"adapter": "full"}),
        ({}, {"adapter": "full"}, {}),
    ],
    ids=str,
)
def test_phases_follow_each_other_whose_results_make_one_model(given: tuple[dict[str, Any], ...]) -> None:
    assert [one.method for one in recipe(*given).phase] == [one.get("method", "dpo") for one in given]


@pytest.mark.parametrize("given", [({"adapter": "dora"}, {}), ({}, {"adapter": "dora"}, {}), ({}, {"adapter": "dora"})])
def test_a_dora_adapter_adds_up_with_no_other(given: tuple[dict[str, Any], ...]) -> None:
    number = 1 + next(place for place, one in enumerate(given) if one)
    with pytest.raises(ValueError, match=rf"the adapter of phase {number} is \"dora\", which adds up"):
        recipe(*given)


def test_a_phase_trains_on_a_topic_that_a_source_has() -> None:
    sources = ["recipes/demo", {"path": "more.jsonl", "topic": "reasoning"}]
    assert recipe({}, {**PPO, "on": "reasoning"}, sources=sources).phase[1].on == "reasoning"
    with pytest.raises(ValueError, match="phase 2 trains on 'humour', which is no source's topic, only reasoning"):
        recipe({}, {**PPO, "on": "humour"}, sources=sources)
    with pytest.raises(ValueError, match="and no source has one"):
        recipe({"on": "reasoning"})
    with pytest.raises(ValueError, match="on"):
        recipe({"on": 'a "quoted" topic'})


@pytest.mark.usefixtures("rewarding")
def test_a_reward_model_is_no_candidate_and_comes_before_what_learns_from_it() -> None:
    reward = phase(method="sft")
    assert chain_problems([reward, with_model()], set()) == []
    assert chain_problems([phase(), reward, with_model()], set()) == []
    late = chain_problems([with_model(), reward], set())
    assert late == ["phase 1 learns from a reward model, and no phase before it trains one"]
    (alone,) = chain_problems([reward], set())
    assert alone.startswith("no phase makes a candidate, 'sft' is the last")
    # its adapter is added to nothing, and nothing to it
    assert not chained.adds_up(reward)
    assert chained.adds_up(phase())
    assert not chained.adds_up(phase(adapter="full"))
    assert chain_problems([reward, phase(adapter="dora")], set()) == []


def test_a_recipe_without_a_phase_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="phase"):
        recipe()
    file = tmp_path / "r.toml"
    file.write_text((ROOT / "recipes" / "demo.toml").read_text() + '\n[[phase]]\nmax_steps = 2\nadapter = "dora"\n')
    with pytest.raises(RecipeError, match="adds up to one adapter with no other"):
        load_recipe(file)


def test_of_one_phase_the_recipe_alone_is_itself_and_of_several_each_has_its_own() -> None:
    one, two = recipe({}), recipe({}, PPO)
    assert one.alone(1) is one
    assert [two.alone(number).phase for number in (1, 2)] == [(two.phase[0],), (two.phase[1],)]
    assert two.alone(1).digest == one.digest
    assert two.digest != one.digest


def test_what_a_phase_may_cost_is_not_what_it_is_and_its_topic_is() -> None:
    plain = phase()
    assert phase(max_hours=1.0, max_amount=2.0).digest == plain.digest
    assert phase(on="reasoning").digest != plain.digest
    # a recipe of before phases had topics has the digest it had
    assert "on" not in plain.identity()
    assert chained.makes_candidate(plain)
    assert phases.METHODS["dpo"].makes == "candidate"
