"""The chain of phases: each starts from the one before, and what ends one takes nothing from those before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from infra.settings import ROOT
from infra.store import Store, Tree
from tasks.align.chain import Stage, train_chain
from tasks.align.reward_model.report import RewardReport, report_of
from tasks.contracts import Candidate, Model, PhasePlan, Plan, RewardModel
from tasks.errors import Interrupted, ModelError, NightshiftError, OverBudget, PhaseSpent, Unhealthy
from tasks.parts import lines_of
from tasks.phases import METHODS
from tasks.recipe import Recipe, load_recipe

DEMO = load_recipe(ROOT / "recipes" / "demo.toml").model_dump(exclude_unset=True)


def tree(name: str) -> Tree:
    return Tree(digest_=digest_of(name), files=())


BASE = Model(base=tree("base"))


def recipe(*methods: str) -> Recipe:
    reward = {"ppo": {"reward": "not_refused"}}
    return Recipe.model_validate(
        DEMO | {"phase": [{"max_steps": 4, "method": method, **reward.get(method, {})} for method in methods]}
    )


def plan(spec: Recipe, *idle: int) -> Plan:
    phases = tuple(
        PhasePlan(
            number=number, method=one.method, reason="too few" if number in idle else "", pairs=8,
            steps=0 if number in idle else number, memory_bytes=number, seconds=1.0, amount=1.0,
        )
        for number, one in enumerate(spec.phase, start=1)
    )  # fmt: skip
    return Plan(
        train=True, reason="all", new_pairs=9, pairs=16, steps=2, memory_bytes=1, seconds=1.0, amount=0.0,
        currency="EUR", phases=phases if len(phases) > 1 else (),
    )  # fmt: skip


def ranked(right: int, of: int) -> RewardReport:
    """The report of a reward model that ranks so many of its held-out pairs right."""
    gaps = [1.0 if number < right else -1.0 for number in range(of)]
    return report_of(gaps, [0.0] * of, [{"prompt": str(number)} for number in range(of)], 100, floor=0.55)


class Trainer:
    """Notes what each phase was given; ``fails``: number -> what it raises."""

    def __init__(self, store: Store, fails: dict[int, NightshiftError] | None = None) -> None:
        self.store, self.fails, self.stages = store, fails or {}, list[Stage]()
        self.right = 40  # of 40 held-out pairs, by the reward model

    def __call__(self, stage: Stage) -> Candidate | RewardModel:
        self.stages.append(stage)
        if stage.number in self.fails:
            raise self.fails[stage.number]
        blob = self.store.put_bytes(f'{{"id": "pair-{stage.number}"}}\n'.encode(), "application/jsonl")
        if METHODS[stage.recipe.phase[0].method].makes == "reward":
            found = self.store.put_json(ranked(self.right, 40).model_dump(mode="json"))
            return RewardModel(model=tree("reward"), found=found, history=blob, pairs=blob, mlflow_run="r")
        model = Model(base=BASE.base, adapter=tree(f"adapter {stage.number}"))
        return Candidate(
            model=model,
            preferences=digest_of("p"),
            recipe=stage.recipe.digest,
            history=blob,
            pairs=blob,
            mlflow_run="r",
        )


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    return lambda **fails: Trainer(Store(tmp_path), {int(name[1:]): error for name, error in fails.items()})


def ids(trained: Any, place: int, store: Store) -> list[str]:
    return [line.decode() for line in lines_of(trained.candidates[place].pairs, store)]


def test_each_phase_starts_from_the_candidate_before_and_is_one_itself(trainer: Callable[..., Trainer]) -> None:
    spec, train = recipe("dpo", "ppo", "dpo"), trainer()
    trained = train_chain(spec, plan(spec), BASE, train.store, train)
    assert [stage.start for stage in train.stages] == [BASE, *(one.model for one in trained.candidates[:2])]
    assert [(stage.number, stage.plan.steps) for stage in train.stages] == [(1, 1), (2, 2), (3, 3)]
    assert [stage.recipe.phase for stage in train.stages] == [(one,) for one in spec.phase]
    assert [(one.phase, one.of, one.recipe) for one in trained.candidates] == [(n, 3, spec.digest) for n in (1, 2, 3)]
    assert trained.ended == ()
    # whose pair is to be forgotten finds every candidate that learned from it
    assert ids(trained, 0, train.store) == ['{"id": "pair-1"}']
    assert ids(trained, 2, train.store) == [f'{{"id": "pair-{number}"}}' for number in (1, 2, 3)]


def test_of_one_phase_the_candidate_is_what_it_was_before_there_were_chains(trainer: Callable[..., Trainer]) -> None:
    spec, train = recipe("dpo"), trainer()
    trained = train_chain(spec, plan(spec), BASE, train.store, train)
    (candidate,) = trained.candidates
    assert candidate == train(Stage(1, spec, plan(spec), BASE, None))
    assert (candidate.phase, candidate.of) == (1, 1)
    assert train.stages[0].plan == plan(spec)


@pytest.mark.parametrize("error", [PhaseSpent("spent", do="raise it"), Unhealthy("divergence", do="lower it")], ids=str)
def test_a_phase_that_ends_early_leaves_those_before_it_to_the_gate(
    error: NightshiftError, trainer: Callable[..., Trainer]
) -> None:
    spec, train = recipe("dpo", "ppo", "dpo"), trainer(_2=error)
    trained = train_chain(spec, plan(spec), BASE, train.store, train)
    assert [one.phase for one in trained.candidates] == [1]
    # planned before anything was trained: a night that goes on later has not been judged at more than its α
    assert trained.candidates[0].of == 3
    assert [(one.number, one.why) for one in trained.ended] == [
        (2, f"{error.what} -> {error.do}"), (3, "not begun: phase 2 before it was ended"),
    ]  # fmt: skip
    assert len(train.stages) == 2


def test_before_there_is_a_candidate_what_ends_a_phase_ends_the_night(trainer: Callable[..., Trainer]) -> None:
    spec = recipe("dpo", "ppo")
    train = trainer(_1=PhaseSpent("spent", do="raise it"))
    with pytest.raises(OverBudget, match="spent") as caught:
        train_chain(spec, plan(spec), BASE, train.store, train)
    assert type(caught.value) is OverBudget  # what a night may be called by
    train = trainer(_1=Unhealthy("divergence", do="lower it"))
    with pytest.raises(Unhealthy, match="divergence"):
        train_chain(spec, plan(spec), BASE, train.store, train)


@pytest.mark.parametrize("error", [OverBudget("night", do="x"), Interrupted("asked", do="x")], ids=str)
def test_what_ends_the_night_is_no_phase_s_matter(error: NightshiftError, trainer: Callable[..., Trainer]) -> None:
    spec, train = recipe("dpo", "ppo"), trainer(_2=error)
    with pytest.raises(type(error)):
        train_chain(spec, plan(spec), BASE, train.store, train)


def test_a_phase_with_too_little_to_learn_is_left_out_and_the_next_starts_from_the_one_before(
    trainer: Callable[..., Trainer],
) -> None:
    spec, train = recipe("dpo", "ppo", "dpo"), trainer()
    trained = train_chain(spec, plan(spec, 2), BASE, train.store, train)
    assert [(one.phase, one.of) for one in trained.candidates] == [(1, 2), (3, 2)]
    assert train.stages[1].start == trained.candidates[0].model
    assert [(one.number, one.why) for one in trained.ended] == [(2, "too few")]


def test_a_reward_model_is_handed_on_and_is_no_candidate(
    trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "sft", METHODS["sft"]._replace(makes="reward"))
    spec, train = recipe("dpo", "sft", "ppo"), trainer()
    needing = spec.phase[2].model_copy(update={"reward": ("model",)})
    spec = spec.model_copy(update={"phase": (*spec.phase[:2], needing)})
    trained = train_chain(spec, plan(spec), BASE, train.store, train)
    assert [stage.reward for stage in train.stages] == [None, None, tree("reward")]
    assert train.stages[2].start == trained.candidates[0].model  # not the reward model
    assert [(one.phase, one.of) for one in trained.candidates] == [(1, 2), (3, 2)]
    assert len(ids(trained, 0, train.store)) == 1
    assert len(ids(trained, 1, train.store)) == 3  # with what its reward model learned from


def test_a_reward_model_below_its_floor_leaves_out_what_asks_for_it_and_nothing_else(
    trainer: Callable[..., Trainer],
) -> None:
    spec = recipe("dpo", "reward", "ppo", "dpo")
    needing = spec.phase[2].model_copy(update={"reward": ("model",)})
    spec = spec.model_copy(update={"phase": (*spec.phase[:2], needing, spec.phase[3])})
    train = trainer()
    train.right = 22
    trained = train_chain(spec, plan(spec), BASE, train.store, train)
    assert [stage.number for stage in train.stages] == [1, 2, 4]
    assert [one.phase for one in trained.candidates] == [1, 4]
    (ended,) = trained.ended
    assert ended.number == 3
    assert "left out: the reward model ranks 22 of 40 held-out pairs right" in ended.why
    assert "phase.reward_floor" in ended.why
    # with nothing else to train, that is what the night ends with
    alone = spec.model_copy(update={"phase": (spec.phase[1], needing)})
    with pytest.raises(ModelError, match="22 of 40 held-out pairs"):
        train_chain(alone, plan(alone), BASE, train.store, train)
    train.right = 40
    assert len(train_chain(alone, plan(alone), BASE, train.store, train).candidates) == 1
