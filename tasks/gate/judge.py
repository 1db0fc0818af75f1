"""judge: read the scorecards again from the store, check every digest, write the decision down, and give the verdict.

The decision is in the ledger before its verdict is known to anybody: a look at the items spends the anchor's α,
whatever becomes of the night.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Digest, digest_file
from infra.errors import LedgerError, StoreError
from infra.ledger import Entry, append, check_clock, ledger_path, read_ledger
from infra.store import Blob, Store
from tasks.contracts import Baselines, Candidate, Night, Role, ScorecardRef, Scores, Suites, Trained, Verdict
from tasks.gate import decisions
from tasks.gate.card_checks import card_problems
from tasks.gate.choice import best, together
from tasks.gate.harm import Bank
from tasks.gate.scorecard import Scorecard, read_card, scorer_digest
from tasks.gate.statistics import MIN_GRADED
from tasks.gate.suites import Suite
from tasks.gate.verdict import Facts, find_problems, give_verdict
from tasks.recipe import Recipe, SuiteSpec

ROLES: tuple[Role, ...] = ("candidate", "champion", "anchor")


class Read(NamedTuple):
    """The night's scorecards as they lie in the store, and what is wrong with them."""

    cards: dict[tuple[Role, str], Scorecard]
    problems: list[str]


class Case(NamedTuple):
    """One candidate before its verdict: what it is judged on, and the decision that this spends."""

    identity: Digest
    read: Read
    facts: Facts


def judge_candidates(
    night: Night,
    recipe: Recipe,
    items: dict[str, Suite],
    suites: Suites,
    scores: Sequence[Scores],
    trained: Trained,
    baselines: Baselines,
    store: Store,
    home: Path,
) -> Verdict:
    """The verdict over all suites of the recipe. Whatever is missing, unreadable or of another digest blocks.

    Of several candidates every decision is written down before a verdict is known; then the best is the night's.
    """
    given = list(zip(trained.candidates, scores, strict=True))
    seen = [identity_of(night, candidate, baselines, one) for candidate, one in given]
    cases = [
        _decided(night, recipe, items, suites, one, candidate, baselines, (store, home), seen)
        for candidate, one in given
    ]
    verdicts = [give_verdict(recipe.gate, case.read.cards, case.facts) for case in cases]
    ledger, chosen = ledger_path(home, recipe.name), best(verdicts)
    entries, _ = read_decisions(ledger, baselines)
    for place, (verdict, case) in enumerate(zip(verdicts, cases, strict=True)):
        if verdict.verdict != "BLOCK" and not decisions.written(entries, "verdict", case.identity):
            which = (
                {"phase": trained.candidates[place].phase, "chosen": place == chosen} if len(recipe.phase) > 1 else {}
            )
            body = decisions.verdict_body(verdict, case.identity, night.id, night.name, which)
            append(ledger, "verdict", body, datetime.now(UTC))
    return together(verdicts, trained, {number: one.method for number, one in enumerate(recipe.phase, start=1)})


def _decided(
    night: Night,
    recipe: Recipe,
    items: dict[str, Suite],
    suites: Suites,
    scores: Scores,
    candidate: Candidate,
    baselines: Baselines,
    kept: tuple[Store, Path],
    tonight: Sequence[Digest],
) -> Case:
    """A candidate's evidence, its decision written down where nothing stands against it.

    Args:
        kept: store and HOME.
        tonight: identities of all of the night's decisions.
    """
    store, home = kept
    ledger = ledger_path(home, recipe.name)
    models = expected_models(candidate, baselines)
    identity = identity_of(night, candidate, baselines, scores)
    entries, problems = read_decisions(ledger, baselines)
    banks = {name: _bank(suite, name, entries, identity, store) for name, suite in items.items()}
    read = read_cards(recipe, items, banks, scores, models, store)
    earlier = tonight[: tonight.index(identity)]
    facts = Facts(
        problems=(*suites.problems, *missing_baselines(baselines), *problems, *scores.problems, *read.problems),
        decisions=decisions.decisions_before(entries, models["anchor"], identity),
        digests=tuple(ref.card.digest_ for ref in scores.cards),
        candidate=candidate.model.digest,
        champion=models["champion"],
        anchor=models["anchor"],
        banks=banks,
        lost=decisions.lost_before(entries),
        noise=scores.noise,
        exhausted=suites.exhausted,
        together=candidate.of,
        wanted=len(tonight) - sum(decisions.written(entries, "decision", one) for one in earlier),
    )
    new = not decisions.written(entries, "decision", identity)
    if new and not find_problems(recipe.gate, read.cards, facts):
        body = _decision(night, identity, models, scores, items, store)
        facts = facts._replace(problems=_write_down(ledger, "decision", body))
    return Case(identity, read, facts)


def identity_of(night: Night, candidate: Candidate, baselines: Baselines, scores: Scores) -> Digest:
    models = expected_models(candidate, baselines)
    return decisions.decision_identity(night.id, list(models.values()), [ref.card.digest_ for ref in scores.cards])


def read_cards(
    recipe: Recipe,
    items: Mapping[str, Suite],
    banks: Mapping[str, Bank],
    scores: Scores,
    models: Mapping[Role, Digest | None],
    store: Store,
) -> Read:
    """Every scorecard that there should be, or why it can't be used."""
    found = Read({}, [])
    refs = {(ref.role, ref.suite): ref for ref in scores.cards}
    for spec in asked(recipe):
        suite = items.get(spec.name)
        if suite is None:
            found.problems.append(f"{spec.name}: the suite is empty or can't be read")
            continue
        least = MIN_GRADED if spec.name == "drift" else recipe.gate.min_items
        for role in ROLES:
            model = models[role]
            if model is None:
                continue  # said once, by missing_baselines
            card, problems = read_reference(refs.get((role, spec.name)), role, spec.name, store)
            expected = {
                "model": model,
                "items": suite.items_digest,
                "scorer": scorer_digest(suite.scorer, scores.engine, models["anchor"]),
            }
            found.problems.extend(problems or card_problems(role, spec, card, expected, banks[spec.name], least))
            if card is not None:
                found.cards[role, spec.name] = card
    return found


def all_cards(
    recipe: Recipe, candidate: Candidate, baselines: Baselines, scores: Scores, store: Store
) -> dict[tuple[Role, str], Scorecard]:
    """Every card that can be read and is of the model that it should be of: for looking into, not for judging."""
    models = expected_models(candidate, baselines)
    found: dict[tuple[Role, str], Scorecard | None] = {
        (ref.role, ref.suite): read_reference(ref, ref.role, ref.suite, store)[0]
        for ref in scores.cards
        if ref.suite in {spec.name for spec in recipe.gate.suites}
    }
    return {place: card for place, card in found.items() if card is not None and card.model == models[place[0]]}


def asked(recipe: Recipe) -> list[SuiteSpec]:
    """The suites that models are scored on: the recipe's, and the prompts of drift."""
    if recipe.gate.drift is None:
        return list(recipe.gate.suites)
    return [*recipe.gate.suites, SuiteSpec(name="drift", measure="score", margin=0.5, budget=0.5)]


def read_decisions(path: Path, baselines: Baselines) -> tuple[tuple[Entry, ...], list[str]]:
    """The ledger, and what makes it unusable."""
    try:
        entries = read_ledger(path)
        check_clock(entries, datetime.now(UTC), path)
    except LedgerError as error:
        return (), [error.what]
    lost = decisions.unknown_nights(entries, baselines.nights)
    if not lost:
        return entries, []
    return entries, [
        f"the ledger {path} knows nothing of {len(lost)} nights whose versions are in the registry, e.g. {lost[0]}: "
        "lines were lost; put back a copy"
    ]


def _write_down(path: Path, kind: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Append to the ledger; what stands against it blocks."""
    try:
        append(path, kind, body, datetime.now(UTC))
    except LedgerError as error:
        return (error.what,)
    return ()


def _decision(
    night: Night,
    identity: Digest,
    models: Mapping[Role, Digest | None],
    scores: Scores,
    items: Mapping[str, Suite],
    store: Store,
) -> dict[str, Any]:
    return {
        "identity": identity,
        "night": night.id,
        "name": night.name,
        "core": night.core,
        **models,
        "engine": scores.engine.model_dump(),
        "cards": [ref.card.digest_ for ref in scores.cards],
        "items": {
            name: store.put_json(sorted(item.id for item in suite.items)).model_dump() for name, suite in items.items()
        },
    }


def _bank(suite: Suite, name: str, entries: Sequence[Entry], identity: Digest, store: Store) -> Bank:
    # what drift is measured on stays the same from day one, and no night is trained to do well on it
    ages = {} if name == "drift" else decisions.ages(entries, name, _ids_in(store), identity)
    return Bank(
        families={item.id: item.cluster for item in suite.items},
        seed=suite.items_digest,
        ages={item.id: decisions.age_of(ages, item.id) for item in suite.items},
    )


def _ids_in(store: Store) -> Callable[[Mapping[str, Any]], list[str] | None]:
    """Reads a decision's list of items; a lost one is None."""

    def read(blob: Mapping[str, Any]) -> list[str] | None:
        try:
            return json.loads(store.read_bytes(Blob.model_validate(blob)))
        except (StoreError, ValueError):
            return None

    return read


def expected_models(candidate: Candidate, baselines: Baselines) -> dict[Role, Digest | None]:
    return {
        "candidate": candidate.model.digest,
        "champion": baselines.champion.model.digest if baselines.champion else None,
        "anchor": baselines.anchor.model.digest if baselines.anchor else None,
    }


def missing_baselines(baselines: Baselines) -> list[str]:
    named = {"champion": baselines.champion, "anchor": baselines.anchor}
    return [
        f"there is no {name}: the registry has no alias `{name}`"
        for name, baseline in named.items()
        if baseline is None
    ]


def read_reference(
    ref: ScorecardRef | None, role: Role, suite: str, store: Store
) -> tuple[Scorecard | None, list[str]]:
    """The card behind a reference, or what is wrong with it."""
    if ref is None:
        return None, []  # card_problems says that there is none
    try:
        return read_card(store.read_bytes(ref.card)), []
    except StoreError as error:
        return None, [f"{role}/{suite}: {error.what}"]
    except ValueError as error:
        return None, [f"{role}/{suite}: the scorecard can't be read: {error}"]


def actual_digest(store: Store, blob: Blob) -> str:
    """What the object's bytes are now; ``missing`` where there are none."""
    path = store.path(blob.digest_)
    return digest_file(path) if path.is_file() else "missing"
