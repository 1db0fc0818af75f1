"""What the ledger says of earlier decisions: how many, on which items, and what re-anchoring has added. Pure.

Kinds of entries: ``decision`` (written before the verdict is known), ``verdict`` (its numbers), ``promotion``,
``rollback``, ``waiver``, ``reanchor``, ``rotation``.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from infra.digest import Digest, digest_of
from infra.ledger import Entry
from tasks.contracts import PastNight, PastSuite, Reanchored, Verdict
from tasks.gate.statistics import minimum_detectable


def decision_identity(night: Digest, verdict_of: Sequence[Digest | None], cards: Sequence[Digest]) -> Digest:
    """What one decision is about: looking at the same scorecards of the same models again spends nothing more."""
    return digest_of([night, list(verdict_of), sorted(cards)])


def written(entries: Sequence[Entry], kind: str, identity: Digest) -> bool:
    """Whether this very decision, or its verdict, was written before: a judge step that runs again."""
    return any(one.kind == kind and one.body["identity"] == identity for one in entries)


def decisions_before(entries: Sequence[Entry], anchor: Digest | None, *identities: Digest) -> int:
    """Decisions judged against this anchor since it was made the anchor, before this one, or the first of these.

    Manual runs, other seeds, phases and hardening rounds count like any night: each has seen the verdict.
    """
    count = 0
    for one in entries:
        if one.kind == "reanchor":
            count = 0
        elif one.kind == "decision" and one.body["anchor"] == anchor:
            if one.body["identity"] in identities:
                return count
            count += 1
    return count


def decisions_of_others(entries: Sequence[Entry], core: Digest) -> int:
    """All decisions but those of this night's inputs, its items set aside: what rotation counts by.

    Without ``core`` a finished night that is started again could meet other items than the first time.
    """
    return sum(one.kind == "decision" and one.body["core"] != core for one in entries)


def unknown_nights(entries: Sequence[Entry], nights: Sequence[Digest]) -> list[Digest]:
    """Nights with a judged version in the registry that the ledger doesn't know: lines were lost."""
    return sorted(set(nights) - {one.body["night"] for one in entries if one.kind == "decision"})


def rotations(entries: Sequence[Entry], suite: str) -> int:
    """How often a person has rotated this suite's items beyond its plan."""
    return sum(one.kind == "rotation" and suite in one.body["suites"] for one in entries)


def ages(
    entries: Sequence[Entry], suite: str, read: Callable[[Mapping[str, Any]], Sequence[str] | None], before: Digest
) -> dict[str, int]:
    """Item id → decisions it took part in, before the decision with the identity ``before``.

    Args:
        read: the ids of a decision's list of items; None where the list is lost: then every item is taken to have been
            in it, under the key "".
    """
    counts: Counter[str] = Counter()
    for one in entries:
        if one.kind != "decision":
            continue
        if one.body["identity"] == before:
            break
        blob = one.body["items"].get(suite)
        if blob is None:
            continue
        ids = read(blob)
        counts.update([""] if ids is None else ids)
    return dict(counts)


def age_of(ages_: Mapping[str, int], id_: str) -> int:
    return ages_.get(id_, 0) + ages_.get("", 0)


def lost_before(entries: Sequence[Entry]) -> dict[str, float]:
    """Suite → what re-anchorings have added to the lifetime loss: the anchors' differences, summed."""
    total: dict[str, float] = {}
    for one in entries:
        if one.kind == "reanchor":
            for name, delta in one.body["losses"].items():
                total[name] = total.get(name, 0.0) + delta
    return total


def past_nights(entries: Sequence[Entry]) -> tuple[PastNight, ...]:
    """All judged decisions, oldest first."""
    abandoned = {one.body["line"] for one in entries if one.kind == "abandoned"}
    promoted = {one.body["night"] for one in entries if one.kind == "promotion" and one.seq not in abandoned}
    return tuple(
        PastNight(
            at=one.at,
            night=one.body["name"],
            verdict=one.body["verdict"],
            promoted=one.body["night"] in promoted and one.body.get("chosen", True),
            phase=one.body.get("phase"),
            chosen=one.body.get("chosen", True),
            suites=tuple(PastSuite.model_validate(suite) for suite in one.body["suites"]),
        )
        for one in entries
        if one.kind == "verdict"
    )


def reanchorings(entries: Sequence[Entry]) -> tuple[Reanchored, ...]:
    return tuple(
        Reanchored(
            at=one.at,
            by=one.body["by"],
            reason=one.body["reason"],
            losses=tuple(
                PastSuite(name=name, delta=None, anchor_delta=delta, lifetime=None)
                for name, delta in one.body["losses"].items()
            ),
        )
        for one in entries
        if one.kind == "reanchor"
    )


def verdict_body(
    verdict: Verdict, identity: Digest, night: Digest, name: str, phase: Mapping[str, Any]
) -> dict[str, Any]:
    """The ``verdict`` entry: what the report's history is drawn from.

    Args:
        phase: of a night with several candidates ``phase``, its number, and ``chosen``; else nothing.
    """
    return {
        **phase,
        "identity": identity,
        "night": night,
        "name": name,
        "verdict": verdict.verdict,
        "suites": [
            {
                "name": one.name,
                "delta": one.delta,
                "anchor_delta": one.anchor_delta,
                "lifetime": one.lifetime,
            }
            for one in verdict.suites
        ],
        "spreads": spreads_of(verdict),
    }


def spreads_of(verdict: Verdict) -> dict[str, list[float]]:
    """Suite → families, and the spread of paired differences against the champion: what the next plan starts from."""
    one_item = minimum_detectable(1.0, 1, verdict.alpha)
    return {
        one.name: [one.n, one.mde * math.sqrt(one.n) / one_item]
        for one in verdict.suites
        if one.mde is not None and one.n
    }


def measured_spreads(entries: Sequence[Entry], nights: int = 10) -> dict[str, tuple[int, float]]:
    """Suite → families of the last night that judged it, and the median spread over the last ``nights`` of them."""
    found: dict[str, list[list[float]]] = {}
    for one in entries:
        if one.kind == "verdict":
            for name, measured in one.body["spreads"].items():
                found.setdefault(name, []).append(measured)
    return {name: (int(last[-1][0]), median(spread for _, spread in last[-nights:])) for name, last in found.items()}
