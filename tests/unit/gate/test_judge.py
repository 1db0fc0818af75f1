"""judge, from cards in a real store and a real ledger: every kind of bad input blocks, and says why."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from infra.ledger import append, ledger_path, read_ledger
from infra.store import Blob, Store, Tree, TreeFile
from tasks.contracts import (
    Baseline,
    Baselines,
    Candidate,
    Engine,
    Model,
    Night,
    Noise,
    Role,
    ScorecardRef,
    Scores,
    Suites,
    Trained,
    Verdict,
)
from tasks.errors import SuiteError
from tasks.gate import judge
from tasks.gate.judge import judge_candidates
from tasks.gate.scorecard import ItemResult, Scorecard, scorer_digest
from tasks.gate.suites import Item, Message, Scorer, Suite, build_suite
from tasks.recipe import Recipe

D = digest_of("any")
ENGINE = Engine(name="packed", device="cpu", dtype="float32", tokens=2048, form="merged", quantise=None)
N = 160


def model(name: str) -> Model:
    file = TreeFile(path="w", digest_=digest_of(name), size=1)
    return Model(base=Tree(digest_=digest_of([file]), files=(file,)))


MODELS: dict[Role, Model] = {role: model(role) for role in ("candidate", "champion", "anchor")}
RECIPE = Recipe.model_validate(
    {
        "name": "shop",
        "sources": ["x"],
        "model": {"name": "m", "source": "x"},
        "budget": {"max_amount": 1.0, "max_hours": 1.0},
        "phase": [{"max_steps": 1}],
        "gate": {
            "target": "house",
            "planned_decisions": 3,
            "suites": [
                {"name": "safety", "measure": "right", "margin": 0.08, "budget": 0.15},
                {"name": "house", "measure": "probability", "margin": 0.02, "budget": 0.05},
            ],
        },
    }
)


def suite(name: str) -> Suite:
    items = [
        Item(id=f"{name}-{n:03}", messages=(Message(role="user", content=f"{name} {n}"),), choices=("x", "y"), answer=0)
        for n in range(N)
    ]
    return build_suite(name, Scorer(), items)


class World:
    """A night that passes, until something is changed."""

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, Store(home / "store")
        self.items = {name: suite(name) for name in ("safety", "house")}
        self.cards: dict[tuple[Role, str], Scorecard] = {
            (role, name): self.card(role, name) for role in MODELS for name in self.items
        }
        self.blobs: dict[tuple[Role, str], Blob] = {}
        self.suites = Suites(suites=self.store.put_json({}), guarded=self.store.put_json([]), problems=())
        self.noise = tuple(
            Noise(suite=name, items=64, flips=0, gap=0.0, floor=1e-3, cause="first") for name in self.items
        )
        self.problems: tuple[str, ...] = ()
        self.champion: Baseline | None = Baseline(version=1, model=MODELS["champion"], trained_on=None)
        self.anchor: Baseline | None = Baseline(version=1, model=MODELS["anchor"], trained_on=None)
        self.nights: tuple[str, ...] = ()
        self.recipe = RECIPE
        self.later: list[Scores] = []

    def card(self, role: Role, name: str) -> Scorecard:
        luck = random.Random(f"{name} {role}")
        lift = 0.1 if role == "candidate" and name == "house" else 0.0
        results = tuple(
            ItemResult(
                id=item.id, right=number < 0.9 * N, score=0.5 + lift + luck.uniform(-0.05, 0.05), logprobs=(-1.0, -2.0)
            )
            for number, item in enumerate(self.items[name].items)
        )
        return Scorecard(
            model=MODELS[role].digest,
            suite=name,
            items=self.items[name].items_digest,
            scorer=scorer_digest(Scorer(), ENGINE),
            results=results,
        )

    def judge(self, seed: int = 0) -> Verdict:
        refs = []
        for (role, name), card in self.cards.items():
            blob = self.blobs.get((role, name)) or self.store.put_bytes(card.model_dump_json().encode())
            refs.append(
                ScorecardRef(role=role, suite=name, model=card.model, items=card.items, scorer=card.scorer, card=blob)
            )
        night = Night(
            id=digest_of(["night", seed]), core=digest_of(["core", seed]), name=f"night-{seed}", folder=str(self.home),
            flow_run="", mlflow_run="", promotable=True,
        )  # fmt: skip
        scores = Scores(
            cards=tuple(refs), engine=ENGINE, noise=self.noise, problems=self.problems,
            samples=self.store.put_json([]), mlflow_run="",
        )  # fmt: skip
        candidate = Candidate(
            model=MODELS["candidate"], preferences=D, recipe=D, history=self.store.put_json([]), mlflow_run=""
        )
        baselines = Baselines(champion=self.champion, anchor=self.anchor, nights=self.nights)
        given, made = [scores, *self.later], [candidate]
        if self.later:
            made = [candidate.model_copy(update={"of": 1 + len(self.later)})]
            made += [
                candidate.model_copy(update={"model": model(f"phase {number}"), "phase": number, "of": made[0].of})
                for number in range(2, 2 + len(self.later))
            ]
        trained = Trained(candidates=tuple(made))
        return judge_candidates(
            night, self.recipe, self.items, self.suites, given, trained, baselines, self.store, self.home
        )

    def chain(self, *lifts: float) -> None:
        """Later phases, each with its own lift on the target; what the baselines have stays."""
        phases = [{"max_steps": 1} for _ in range(1 + len(lifts))]
        self.recipe = Recipe.model_validate(self.recipe.model_dump(exclude_unset=True) | {"phase": phases})
        self.later = []
        for number, lift in enumerate(lifts, start=2):
            refs = []
            for (role, name), card in self.cards.items():
                mine = card
                if role == "candidate":
                    luck = random.Random(f"{name} {number}")
                    moved = [
                        one.model_copy(
                            update={"score": 0.5 + (lift if name == "house" else 0) + luck.uniform(-0.05, 0.05)}
                        )
                        for one in card.results
                    ]
                    mine = card.model_copy(update={"model": model(f"phase {number}").digest, "results": tuple(moved)})
                blob = self.store.put_bytes(mine.model_dump_json().encode())
                refs.append(
                    ScorecardRef(
                        role=role, suite=name, model=mine.model, items=mine.items, scorer=mine.scorer, card=blob
                    )
                )
            self.later.append(
                Scores(
                    cards=tuple(refs), engine=ENGINE, noise=self.noise, samples=self.store.put_json([]), mlflow_run=""
                )
            )

    @property
    def ledger(self) -> Path:
        return ledger_path(self.home, "shop")

    def kinds(self) -> list[str]:
        return [entry.kind for entry in read_ledger(self.ledger)]

    def raw(self, role: Role, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Put another card under the reference: whatever JSON, also one that no model would accept."""
        body = json.loads(self.cards[role, name].model_dump_json())
        change(body)
        self.blobs[role, name] = self.store.put_bytes(json.dumps(body).encode())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def blocked(world: World, said: str) -> Verdict:
    verdict = world.judge()
    assert verdict.verdict == "BLOCK", verdict.paragraph
    assert any(said in problem for problem in verdict.problems), verdict.problems
    assert all(one.delta is None for one in verdict.suites)
    return verdict


def test_the_world_of_these_tests_passes_and_writes_decision_and_verdict(world: World) -> None:
    verdict = world.judge()
    assert (verdict.verdict, verdict.decision, verdict.planned) == ("PASS", 1, 3)
    assert world.kinds() == ["decision", "verdict"]
    entry = read_ledger(world.ledger)[1]
    assert entry.body["verdict"] == "PASS"
    assert entry.body["spreads"]["house"][0] == N


# --- bad input: each blocks, and no decision is spent on it ---


def test_an_item_id_twice_in_a_suite_is_refused_and_in_a_scorecard_blocks(world: World) -> None:
    items = list(world.items["safety"].items)
    with pytest.raises(SuiteError, match=r"the item id 'safety-000' repeats"):
        build_suite("safety", Scorer(), [*items, items[0]])
    world.raw("candidate", "safety", lambda card: card["results"].append(card["results"][0]))
    blocked(world, "an item id repeats")
    assert not world.ledger.exists()


def test_a_suite_edited_after_scoring_blocks(world: World) -> None:
    first, *rest = world.items["safety"].items
    edited = first.model_copy(update={"messages": (Message(role="user", content="safety 0, and a letter more"),)})
    world.items["safety"] = build_suite("safety", Scorer(), [edited, *rest])
    blocked(world, "candidate/safety: the scorecard is of another items")


def test_a_scorecard_of_another_model_blocks(world: World) -> None:
    world.cards["champion", "house"] = world.cards["champion", "house"].model_copy(update={"model": D})
    blocked(world, "champion/house: the scorecard is of another model")


def test_nan_scores_block(world: World) -> None:
    def spoil(card: dict[str, Any]) -> None:
        card["results"][3]["score"] = float("nan")

    world.raw("candidate", "house", spoil)
    blocked(world, "candidate/house: the scorecard can't be read: a scorecard holds NaN")


def test_items_without_a_finite_score_block(world: World) -> None:
    card = world.cards["candidate", "house"]
    world.cards["candidate", "house"] = card.model_copy(
        update={"results": card.results[1:], "unscorable": (card.results[0].id,)}
    )
    blocked(world, "1 items have no finite score, e.g. house-000")


def test_an_empty_suite_blocks(world: World) -> None:
    with pytest.raises(SuiteError, match="the suite safety is empty"):
        build_suite("safety", Scorer(), [])
    del world.items["safety"]
    blocked(world, "safety: the suite is empty or can't be read")


def test_fewer_families_than_the_floor_block(world: World) -> None:
    pairs = [
        item.model_copy(update={"family": f"f{number // 2}"}) for number, item in enumerate(world.items["safety"].items)
    ]
    world.items["safety"] = build_suite("safety", Scorer(), pairs)
    for role in MODELS:
        world.cards[role, "safety"] = world.card(role, "safety")
    blocked(world, "candidate/safety: 80 items that stand alone, the recipe asks for at least 150")


def test_a_champion_that_can_not_be_loaded_blocks_with_the_reason(world: World) -> None:
    world.problems = ("champion: the model can't be loaded: the store has no object sha256:…",)
    for name in world.items:
        del world.cards["champion", name]
    verdict = blocked(world, "champion: the model can't be loaded")
    assert "champion/safety: there is no scorecard" in verdict.problems


def test_a_missing_champion_or_anchor_blocks(world: World) -> None:
    world.champion = None
    blocked(world, "there is no champion")
    world.anchor = None
    blocked(world, "there is no anchor")


def test_a_clock_that_runs_backwards_blocks_and_the_night_is_judged_once_it_is_right(world: World) -> None:
    append(world.ledger, "decision", {"identity": D, "night": D, "anchor": D, "core": D, "items": {}}, _later())
    blocked(world, "the clock runs backwards")
    world.ledger.unlink()
    assert world.judge().verdict == "PASS"


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def test_an_edited_ledger_blocks(world: World) -> None:
    world.judge(seed=1)
    world.ledger.write_text(world.ledger.read_text().replace("night-1", "night-x"))
    blocked(world, "was edited")


def test_a_ledger_that_lost_its_end_blocks(world: World) -> None:
    world.judge(seed=1)
    world.nights = (digest_of(["night", 1]), digest_of(["night", 7]))
    blocked(world, "knows nothing of 1 nights whose versions are in the registry")
    world.ledger.unlink()
    blocked(world, "knows nothing of 2 nights")


def test_an_edited_scorecard_blocks(world: World) -> None:
    world.judge()
    digest = world.store.put_bytes(world.cards["anchor", "house"].model_dump_json().encode()).digest_
    path = world.store.path(digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6", 1))
    blocked(world, "has been changed")


def test_results_of_another_engine_block(world: World) -> None:
    other = scorer_digest(Scorer(), ENGINE.model_copy(update={"tokens": 512}))
    world.cards["champion", "safety"] = world.cards["champion", "safety"].model_copy(update={"scorer": other})
    blocked(world, "champion/safety: the scorecard is of another scorer")


# --- decisions ---


def test_the_same_night_judged_again_is_the_same_decision(world: World) -> None:
    assert [world.judge().decision for _ in range(3)] == [1, 1, 1]
    assert world.kinds() == ["decision", "verdict"]


def test_another_seed_is_another_decision_until_they_are_used_up(world: World) -> None:
    assert [world.judge(seed).decision for seed in (1, 2, 3)] == [1, 2, 3]
    used = world.judge(seed=4)
    assert (used.verdict, used.decision) == ("BLOCK", 0)
    assert world.kinds().count("decision") == 3
    # the nights that were judged keep their verdicts
    assert world.judge(seed=2).decision == 2


def test_a_new_attempt_at_the_same_night_with_other_scorecards_is_another_decision(world: World) -> None:
    world.judge()
    card = world.cards["candidate", "safety"]
    first = card.results[0].model_copy(update={"right": not card.results[0].right})
    world.cards["candidate", "safety"] = card.model_copy(update={"results": (first, *card.results[1:])})
    assert world.judge().decision == 2


def test_a_verdict_that_a_crash_kept_from_the_ledger_is_written_when_the_night_is_judged_again(world: World) -> None:
    world.judge()
    first = world.ledger.read_text().splitlines()[0]
    world.ledger.write_text(first + "\n")
    assert world.judge().decision == 1
    assert world.kinds() == ["decision", "verdict"]


def test_items_age_with_every_decision_and_lost_lists_are_not_taken_for_fresh_items(world: World) -> None:
    wear = [world.judge(seed).suites[1].wear for seed in (1, 2)]
    assert wear[0] == 0.0
    assert wear[1] is not None
    assert wear[1] > 0
    # the list of items of the first decision is deleted: its items are taken to have been judged all the same
    entry = read_ledger(world.ledger)[0]
    world.store.path(entry.body["items"]["house"]["digest_"]).unlink()
    assert world.judge(seed=2).suites[1].wear == pytest.approx(wear[1])


# ---- several phases ------------------------------------------------------------------------------------------------


def test_each_phase_spends_a_decision_and_all_are_written_down_before_a_verdict_is(world: World) -> None:
    world.chain(0.2)
    verdict = world.judge()
    assert world.kinds() == ["decision", "decision", "verdict", "verdict"]
    assert [(one.number, one.decision, one.verdict, one.chosen) for one in verdict.phases] == [
        (1, 1, "PASS", False), (2, 2, "PASS", True),
    ]  # fmt: skip
    assert verdict.candidate == model("phase 2").digest
    assert (verdict.decision, verdict.alpha) == (2, 0.025)
    spent = [one.body["candidate"] for one in read_ledger(world.ledger) if one.kind == "decision"]
    assert spent == [MODELS["candidate"].digest, model("phase 2").digest]


def test_the_same_phases_judged_again_spend_nothing_more(world: World) -> None:
    world.chain(0.2)
    assert world.judge() == world.judge()
    assert world.kinds() == ["decision", "decision", "verdict", "verdict"]


def test_a_night_that_was_killed_between_its_decisions_goes_on_with_the_same_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.chain(0.2)
    whole = judge.append
    written: list[str] = []

    def killed(path: Path, kind: str, *rest: Any) -> Any:
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(kind)
        return whole(path, kind, *rest)

    monkeypatch.setattr(judge, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        world.judge()
    assert world.kinds() == ["decision"]  # a look at the items; no verdict was known by then
    monkeypatch.undo()
    assert [one.decision for one in world.judge().phases] == [1, 2]
    assert world.kinds() == ["decision", "decision", "verdict", "verdict"]


def test_a_phase_whose_evidence_is_damaged_blocks_alone_and_spends_nothing(world: World) -> None:
    world.chain(0.2)
    world.raw("candidate", "house", lambda body: body["results"].pop())
    verdict = world.judge()
    assert [(one.verdict, one.decision) for one in verdict.phases] == [("BLOCK", 0), ("PASS", 1)]
    assert verdict.verdict == "PASS"
    assert verdict.alpha == 0.025  # as planned
    assert world.kinds() == ["decision", "verdict"]


def test_too_few_decisions_for_all_phases_block_all_and_spend_none(world: World) -> None:
    world.judge(seed=1)
    world.chain(0.2, 0.3)  # two are left of three
    verdict = world.judge(seed=2)
    assert verdict.verdict == "BLOCK"
    assert [one.verdict for one in verdict.phases] == ["BLOCK"] * 3
    assert "2 of the anchor's 3 planned decisions are left, and the night's candidates need 3" in verdict.problems[0]
    assert world.kinds() == ["decision", "verdict"]
    world.chain(0.2)
    assert [one.decision for one in world.judge(seed=2).phases] == [2, 3]


def test_the_next_night_counts_every_phase(world: World) -> None:
    world.chain(0.2)
    world.judge(seed=1)
    world.later = []
    world.recipe = RECIPE
    assert world.judge(seed=2).decision == 3
