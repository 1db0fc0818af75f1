"""judge: read the scorecards again from the store, check every digest, and give the verdict."""

from infra.digest import Digest, digest_file
from infra.errors import StoreError
from infra.store import Blob, Store
from tasks.contracts import Baselines, Candidate, Role, ScorecardRef, Scores, Suites, Verdict
from tasks.gate.scorecard import Scorecard, read_card, scorer_digest
from tasks.gate.suites import Suite
from tasks.gate.verdict import Evidence, card_problems, give_verdict
from tasks.recipe import GateSpec

ROLES: tuple[Role, ...] = ("candidate", "champion", "anchor")


def judge_candidate(
    gate: GateSpec,
    items: dict[str, Suite],
    suites: Suites,
    scores: Scores,
    candidate: Candidate,
    baselines: Baselines,
    store: Store,
) -> Verdict:
    """The verdict over all suites of the recipe. Whatever is missing, unreadable or of another digest blocks."""
    models = expected_models(candidate, baselines)
    problems = [*suites.problems, *missing_baselines(baselines)]
    cards: dict[tuple[Role, str], Scorecard] = {}
    refs = {(ref.role, ref.suite): ref for ref in scores.cards}
    for spec in gate.suites:
        suite = items.get(spec.name)
        if suite is None:
            problems.append(f"{spec.name}: the suite can't be read")
            continue
        for role in ROLES:
            model = models[role]
            if model is None:
                continue  # said once, by missing_baselines
            card, found = read_reference(refs.get((role, spec.name)), role, spec.name, store)
            expected = {"model": model, "items": suite.items_digest, "scorer": scorer_digest(suite.scorer)}
            problems += found or card_problems(
                role, spec, card, expected, {item.id for item in suite.items}, gate.min_items
            )
            if card is not None:
                cards[role, spec.name] = card
    evidence = Evidence(
        problems=tuple(problems),
        decisions=baselines.decisions,
        digests=tuple(ref.card.digest_ for ref in scores.cards),
        candidate=candidate.model.digest,
        champion=models["champion"],
        anchor=models["anchor"],
    )
    return give_verdict(gate, cards, evidence)


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
