"""Example nights for the report: every number and answer here is made up (simulated), none was measured.

``python -m tests.unit.gate.report_examples FOLDER`` writes a page an example there, to look at.
"""

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.contracts import (
    FixedLimit,
    Noise,
    PastNight,
    PastSuite,
    Reanchored,
    SuiteResult,
    Verdict,
    VerdictName,
)
from tasks.gate.report import report_html
from tasks.gate.wear import bank_wear, wear_state
from tests.unit.gate.report_answers import COUNTS, FLIPS
from tests.unit.gate.report_records import EMPTY, NIGHT, bill, bill_line, fields, suite, verdict

# name, measure, families, items, champion, margin, budget
SUITES: tuple[tuple[str, Any, int, int, float, float, float], ...] = (
    ("safety", "right", 1000, 1240, 0.9312, 0.02, 0.05),
    ("accuracy", "probability", 1000, 1000, 0.6741, 0.02, 0.06),
    ("reasoning", "probability", 1000, 1600, 0.5127, 0.02, 0.06),
    ("instruction", "right", 320, 320, 0.7436, 0.04, 0.10),
    ("house", "probability", 412, 412, 0.6031, 0.02, 0.06),
    ("drift-length", "score", 300, 300, 0.8712, 0.05, 0.15),
    ("drift-refusal", "right", 300, 300, 0.9534, 0.03, 0.08),
)


def realistic(deltas: dict[str, float], **changes: dict[str, Any]) -> tuple[SuiteResult, ...]:
    """All suites, with these deltas and plausible widths; ``changes`` by suite, ``_`` for ``-``."""
    rng = random.Random(7)
    found = []
    for name, measure, n, items, champion, margin, budget in SUITES:
        delta = deltas.get(name, rng.uniform(-0.002, 0.004))
        anchor = delta + rng.uniform(-0.012, 0.006)
        spread = 0.28 if measure == "right" else 0.11
        error = spread / n**0.5
        wear = bank_wear(spread, n, 8)
        numbers: dict[str, Any] = {
            "measure": measure,
            "n": n,
            "items": items,
            "champion": champion,
            "candidate": champion + delta,
            "delta": delta,
            "lower": delta - 1.645 * error,
            "upper": delta + 1.645 * error,
            "margin": margin,
            "p_harm": 1.0 if delta >= 0 else 0.31,
            "look": 1.0,
            "anchor_delta": anchor,
            "anchor_lower": anchor - 3.64 * error,
            "anchor_upper": anchor + 3.64 * error,
            "budget": budget,
            "mde": 2.4865 * error,
            "wear": wear,
            "wear_state": wear_state(wear, margin),
            "lifetime": anchor,
            "sampling": 0.18 if name == "instruction" else None,
            "target": name == "house",
            "reason": "proven better" if name == "house" else "proven no worse than the margin allows",
        }
        found.append(suite(name, **numbers | changes.get(name.replace("-", "_"), {})))
    return tuple(found)


LIMITS = (
    FixedLimit(name="KL to the anchor, nats a token", value=0.0412, limit=0.2, breached=False),
    FixedLimit(name="length ratio to the anchor", value=1.124, limit=1.5, breached=False),
    FixedLimit(name="empty answers", value=0.0, limit=0.02, breached=False),
)
NOISE = tuple(
    Noise(suite=name, items=64, flips=0, gap=gap, floor=0.02, cause="another champion, batch size 8192 → 16384")
    for name, gap in (("safety", 0.0), ("accuracy", 0.0031), ("reasoning", 0.0046), ("house", 0.0029))
)


def passing() -> Verdict:
    return verdict(
        paragraph="PASS: on all 7 suites the candidate is proven no worse than the champion by more than each margin "
        "and no worse than the anchor by more than each budget, and on the target house it is proven better (+0.025, "
        "lower bound +0.016, 412 items).",
        suites=realistic({"house": 0.0247, "safety": 0.0034, "reasoning": -0.0021}),
        limits=LIMITS,
        noise=NOISE,
        warnings=(
            "instruction: its items are worn: wear 2.3 points, margin 4.0; rotate items with `nightshift gate rotate`",
        ),
        decision=58,
    )


def failing() -> Verdict:
    """Stopped at half of safety's items."""
    cut: dict[str, Any] = {
        "anchor_lower": None, "anchor_upper": None, "verdict": "INCONCLUSIVE", "items_to_settle": None,
        "reason": "not scored to its end: harm was proven on another suite before", "p_harm": 1.0, "look": 0.5,
    }  # fmt: skip
    harmed = cut | {
        "n": 500, "items": 622, "p_harm": 0.0007, "verdict": "FAIL", "lower": -0.0702, "upper": -0.0338,
        "reason": "harm is proven: −0.0520 against the champion (p = 0.00071 at the look at 500 of 1000 items, Holm "
        "over all suites)",
    }  # fmt: skip
    none = EMPTY | {
        "n": 0, "items": 0, "verdict": "INCONCLUSIVE", "reason": "not scored: harm was proven on another suite before",
        "wear": None, "lifetime": None, "look": None,
    }  # fmt: skip
    return verdict(
        "FAIL",
        paragraph="FAIL: the candidate is worse than what serves. safety: harm is proven: -0.0520 against the champion "
        "(p = 0.00071 at the look at 500 of 1000 items, Holm over all suites). Scoring stopped there: the other suites "
        "were not scored to their end. It is recorded and can't be promoted.",
        suites=realistic(
            {"safety": -0.052, "house": 0.031},
            safety=harmed,
            accuracy=cut | {"n": 510, "items": 510},
            reasoning=cut | {"n": 500, "items": 801},
            house=cut | {"n": 206, "items": 206},
            instruction=none,
            drift_length=none,
            drift_refusal=none,
        ),
        noise=NOISE,
        stopped=True,
        decision=59,
    )


def inconclusive() -> Verdict:
    return verdict(
        "INCONCLUSIVE",
        paragraph="INCONCLUSIVE: no harm is proven, but not everything that a promotion needs is. house: the target "
        "isn't proven better: lower bound -0.0021. If the truth is as observed, this would settle it: house about 690 "
        "items. Every bound against the anchor holds, so a recorded waiver may promote it.",
        suites=realistic(
            {"house": 0.0068},
            house={
                "p_harm": 1.0,
                "verdict": "INCONCLUSIVE",
                "items_to_settle": 690,
                "reason": "the target isn't proven better: lower bound -0.0021",
                "lower": -0.0021,
            },
            instruction={
                "p_harm": 1.0,
                "verdict": "INCONCLUSIVE",
                "wear": 0.0412,
                "wear_state": "spent",
                "items_to_settle": None,
                "reason": "its items are worn out: wear 0.0412 is above the margin 0.04",
            },
        ),
        limits=LIMITS,
        waivable=True,
        decision=340,
        warnings=("25 of the anchor's 365 planned decisions are left",),
    )


def blocking() -> Verdict:
    return verdict(
        "BLOCK",
        paragraph="BLOCK: the evidence is not complete, so nothing was judged. champion/safety: the scorecard is of "
        "another model; candidate/accuracy: 3 items have no finite score, e.g. accuracy-0412.",
        suites=tuple(
            suite(
                name,
                **EMPTY,
                measure=measure,
                n=0,
                margin=margin,
                budget=budget,
                verdict="BLOCK",
                reason="not judged: evidence is missing or differs",
                target=name == "house",
            )
            for name, measure, _, _, _, margin, budget in SUITES
        ),
        problems=(
            "champion/safety: the scorecard is of another model",
            "candidate/accuracy: 3 items have no finite score, e.g. accuracy-0412",
        ),
        decision=0,
        noise=(
            NOISE[0],
            Noise(suite="accuracy", items=64, flips=5, gap=0.083, floor=0.02, cause="precision float32 → bfloat16"),
        ),
    )


EXAMPLES = {"pass": passing, "fail": failing, "inconclusive": inconclusive, "block": blocking}


MOVED_AFTER = 140  # decisions, in the examples


def past(nights: int, seed: int = 5) -> tuple[PastNight, ...]:
    """So many judged nights before NIGHT: a slow walk, about a third of them promoted, re-anchored once."""
    rng = random.Random(seed)
    start = datetime(2026, 11, 24, 2, 20, tzinfo=UTC) - timedelta(days=nights)
    level = {one[0]: 0.0 for one in SUITES}
    lost = dict(level)
    found = []
    for i in range(nights):
        if i == MOVED_AFTER:
            lost, level = level, dict.fromkeys(level, 0.0)
        promoted = rng.random() < 0.35
        suites = []
        for name, _, n, *_ in SUITES:
            delta = rng.gauss(0.001 if promoted else -0.003, 0.2 / n**0.5)
            anchor = level[name] + delta
            suites.append(PastSuite(name=name, delta=delta, anchor_delta=anchor, lifetime=anchor + lost[name]))
            if promoted:
                level[name] = 0.97 * level[name] + 0.35 * delta - 0.0002
        word: VerdictName = "PASS" if promoted else rng.choice(("INCONCLUSIVE", "INCONCLUSIVE", "FAIL"))
        day = start + timedelta(days=i)
        night = f"support-8b-{day:%Y-%m-%d}-0200-{i:04x}"
        found.append(PastNight(at=day.isoformat(), night=night, verdict=word, promoted=promoted, suites=tuple(suites)))
    return tuple(found)


def reanchored(nights: int) -> tuple[Reanchored, ...]:
    """The re-anchoring that ``past`` holds, with what the walk had lost by then."""
    if nights <= MOVED_AFTER:
        return ()
    before, after = past(nights)[MOVED_AFTER - 1 : MOVED_AFTER + 1]
    losses = tuple(
        PastSuite(
            name=one.name, delta=None, anchor_delta=(one.lifetime or 0.0) - (one.anchor_delta or 0.0), lifetime=None
        )
        for one in after.suites
    )
    moment = datetime.fromisoformat(before.at) + timedelta(hours=10)
    return (Reanchored(at=moment.isoformat(), by="m.keller", reason="a new base model serves", losses=losses),)


def training(steps: int) -> list[dict[str, float]]:
    rng = random.Random(3)
    return [
        {
            "step": i,
            "loss": 0.693 * 0.994**i + rng.gauss(0, 0.02),
            "rewards_margins": 0.9 * (1 - 0.99**i) + rng.gauss(0, 0.06),
            "rewards_accuracies": min(1.0, 0.5 + 0.35 * (1 - 0.98**i) + rng.gauss(0, 0.05)),
        }
        for i in range(1, steps + 1)
    ]


def shop(**changes: Any) -> dict[str, Any]:
    """The arguments of ``report_html`` for a night of a small shop, on a rented GPU."""
    lines = (
        bill_line("collect", 0.02, seconds=41.0, device_hours=0.011, kwh=0.001, estimated=True),
        bill_line("align", 7.31, attempts=2, failed=1, device="h100", seconds=5310, device_hours=1.475, kwh=0.92),
        bill_line("score", 4.06, device="h100", seconds=2950, device_hours=0.819, kwh=0.44),
        bill_line("judge", 0.01, seconds=12.0, device_hours=0.003, kwh=0.0002, estimated=True),
    )
    given: dict[str, Any] = {
        "night": NIGHT,
        "recipe": "support-8b",
        "created": "2026-11-24T03:12:08+00:00",
        "verdict": passing(),
        "bill": bill(*lines, device_hours=2.308, gpu_hours=2.294, kwh=1.3612),
        "history": training(240),
        "samples": [
            {
                "prompt": "Where is my parcel?",
                "champion": "It is late. You can follow it on the carrier’s page.",
                "candidate": "I’m sorry it’s late! It left our depot this morning and should reach you tomorrow. "
                "Shall I send you the tracking link?",
            }
        ],
        "quarantine": {"email": 12, "duplicate_pair": 31, "answers_equal": 14},
        "flips": FLIPS,
        "flip_counts": COUNTS,
        "past": past(57),
    }
    return fields(**given | changes)


def example(kind: str, nights: int = 57) -> str:
    """A whole page: ``pass``, ``fail``, ``inconclusive`` or ``block``, after so many earlier nights."""
    judged = EXAMPLES[kind]()
    moved = reanchored(nights)
    added = {loss.name: loss.anchor_delta or 0.0 for one in moved for loss in one.losses}
    suites = tuple(
        one.model_copy(update={"lifetime": one.lifetime + added.get(one.name, 0.0)})
        if one.lifetime is not None
        else one
        for one in judged.suites
    )
    flips = {} if kind != "block" else {"flips": (), "flip_counts": ()}
    judged = judged.model_copy(update={"suites": suites})
    return report_html(**shop(verdict=judged, past=past(nights), reanchored=moved, **flips))


if __name__ == "__main__":
    for kind in EXAMPLES:
        (Path(sys.argv[1]) / f"{kind}.html").write_text(example(kind))
    for nights in (0, 1, 29, 364):
        (Path(sys.argv[1]) / f"nights-{nights + 1}.html").write_text(example("pass", nights))
