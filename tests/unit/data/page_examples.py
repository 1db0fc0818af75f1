"""Example reports of a night's data: every number and text here is made up (simulated), none was measured.

``python -m tests.unit.data.page_examples FOLDER`` writes a page an example there, to look at.
"""

import sys
from pathlib import Path
from typing import Any

from tasks.data.agreement import Agreement
from tasks.data.drift import DriftFigure
from tasks.data.judge_profile import Finding
from tasks.data.leakage import Common
from tasks.data.page import data_page
from tasks.data.page_records import (
    DataReport,
    DriftAgainst,
    Flow,
    Leaked,
    Reason,
    Sample,
    Source,
    Trained,
)
from tasks.data.style import BiasFigure

# gets out of a tag, an attribute, a style, a picture, and of UTF-8
ATTACK = (
    "</div></svg></style><script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(2)>\"'`\x00\x1b"
)


def plain(text: str, limit: int) -> str:
    """Masks nothing: only for tests, and to look at made-up texts."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def source(name: str, kind: str, rows: int, new: int, before: int | None, **changes: Any) -> Source:
    given = {
        "name": name,
        "kind": kind,
        "objects": 1 + rows // 900,
        "rows": rows,
        "new_rows": new,
        "bytes": rows * 1043,
    }
    return Source(**{**given, "rows_before": before, **changes})


def finding(figure: str = "share_quarantined", **changes: Any) -> Finding:
    given: dict[str, Any] = {"severity": "warning", "success": True, "observed": 0.031, "expected": "<= 0.5"}
    return Finding(**{"figure": figure, **given, "why": "why it matters", "error": None, **changes})


def bias(
    name: str, measure: Any, value: float, lower: float, upper: float, *, warns: bool = False, n: int = 2000
) -> BiasFigure:
    neutral = {"ratio": 1.0, "share": 0.5 if name == "longer" else 0.0, "difference of shares": 0.0}[measure]
    says = f"What {name} says of {n} pairs." + (" DPO learns it; balance it with `data`." if warns else "")
    return BiasFigure(
        name=name, measure=measure, value=value, lower=lower, upper=upper, neutral=neutral, n=n, warns=warns, says=says
    )


def drift(name: str, psi: float, chance: float, level: Any, n: int = 8000) -> DriftFigure:
    moved = (("tickets/#.jsonl", 0.4, 0.55), ("chats/#.jsonl", 0.6, 0.45))
    return DriftFigure(
        name=name, psi=psi, js=psi / 8, chance=chance, level=level, n_now=n, n_before=7400, moved=moved,
        says=f"{name}: PSI {psi:.3f} (by chance up to {chance:.3f}).",
    )  # fmt: skip


SHARES = "difference of shares"
BIAS = (
    bias("length", "ratio", 1.31, 1.24, 1.38, warns=True),
    bias("longer", "share", 0.614, 0.592, 0.636, warns=True, n=1930),
    bias("lists", SHARES, 0.083, 0.061, 0.105, warns=True),
    bias("bold", SHARES, 0.021, 0.002, 0.040),
    bias("headings", SHARES, -0.004, -0.012, 0.004),
    bias("refusals", SHARES, -0.018, -0.031, -0.005),
    bias("sycophancy", SHARES, 0.012, 0.001, 0.023),
    bias("languages", "share", 0.011, 0.005, 0.023, n=588),
    bias("models", "share", 0.0, 0.0, 0.08, n=44),
)
DRIFT = (
    drift("source", 0.092, 0.004, "none"),
    drift("length", 0.131, 0.006, "some"),
    drift("topic", 0.312, 0.021, "large"),
    drift("language", 0.02, 0.4, "too few rows", 40),
)
REASONS = {
    "duplicate_pair": 141, "email": 96, "near_duplicate": 60, "unreadable": 31, "phone": 22, "contradiction": 18,
    "template_tokens": 5, "gate_overlap": 4, "secret": 2, "roles": 0,
}  # fmt: skip
SAMPLES = (
    Sample(
        reason="email",
        id="T-4471",
        source="tickets/2026-11-25.jsonl.gz",
        line=118,
        builder="conversations/edit",
        prompt="Where is my parcel? You can reach me at [EMAIL].",
        chosen="It left our depot this morning.\nIt is due on Friday.",
        rejected="Please wait.",
    ),
    Sample(
        reason="email",
        id="T-4502",
        source="tickets/2026-11-25.jsonl.gz",
        line=149,
        builder="conversations/regenerate",
        prompt="I can't log in as [EMAIL].",
        chosen="Ask for a new password below the form.",
        rejected="",
    ),
    Sample(
        reason="unreadable",
        id="9f31c02ab45d7e10",
        source="chats/2026-11-25.jsonl",
        line=3071,
        error="not JSON: Expecting ',' delimiter at character 61",
        raw='{"prompt": "Can I change the address?", "chosen": "Yes" "rejected',
    ),
    Sample(
        reason="unreadable",
        id="41d0",
        source="chats/2026-11-24.jsonl.gz",
        line=0,
        error="gzip ends early",
        raw="[12 bytes]",
    ),
    Sample(
        reason="near_duplicate",
        id="c-81",
        source="chats/2026-11-25.jsonl",
        line=12,
        builder="pairs",
        because="duplicate of chats/2026-11-20.jsonl:7",
        prompt="How do I return shoes?",
        chosen="Use the form. " * 80,
        rejected="No.",
    ),
)
FINDINGS = (
    finding(
        "rows",
        severity="critical",
        observed=8412.0,
        expected=">= 1",
        why="an empty export is an incident, not a quiet night",
    ),
    finding(why="too many bad rows: the export itself is broken", severity="critical"),
    finding(
        "share_chosen_longer",
        success=False,
        observed=0.7431,
        expected=">= 0.3 and <= 0.7",
        why="length must not stand in for preference",
    ),
    finding("share_duplicate_pair", observed=0.0168, expected="<= 0.1", why="an export that repeats itself"),
)


def full(**changes: Any) -> DataReport:
    """A usual night, with something in every part."""
    given: dict[str, Any] = {
        "night": "demo-2026-11-26-0200-7f3a",
        "recipe": "support-8b",
        "made": "2026-11-26T02:04:11+00:00",
        "sources": (
            source("tickets/", "conversations", 4630, 512, 3120),
            source("s3://exports/chats/", "pairs", 2771, 204, 3990),
            source("thumbs.csv", "labels", 811, 90, 640),
            source("handbook/", "documents", 200, 0, 200),
        ),
        "flows": (
            Flow(kind="pair", rows=7401, quarantined=340, held_out=1402, house=1000, to_train=5659),
            Flow(kind="label", rows=811, quarantined=20, held_out=0, to_train=640),
            Flow(kind="document", rows=200, quarantined=1, held_out=0, to_train=0),
        ),
        "trained": Trained(new=655, replayed=655),
        "reasons": tuple(Reason(name=name, rows=rows) for name, rows in REASONS.items()),
        "samples": SAMPLES,
        "expectations": FINDINGS,
        "bias": BIAS,
        "drift": (
            DriftAgainst(against="the last accepted snapshot (night of 2026-11-25)", figures=DRIFT),
            DriftAgainst(against="served traffic of the last 7 days", figures=DRIFT[1:3]),
        ),
        "agreement": Agreement(alpha=0.74, low=0.69, high=0.785, units=412, ratings=870),
        "leaked_items": (Leaked("safety", "s-118", 1), Leaked("accuracy", "a-2", 3)),
        "common": (Common("answer the following question with a b c or d only", 40, 12),),
        "skipped": 120,
    }
    return DataReport(**{**given, **changes})


def first() -> DataReport:
    """A first night: nothing to compare with, no annotators, nothing bad."""
    return full(
        sources=(source("day.jsonl", "pairs", 900, 900, None),),
        flows=(Flow(kind="pair", rows=900, quarantined=0, held_out=180, house=180, to_train=720),),
        trained=None, reasons=(), samples=(), expectations=(finding(),), bias=BIAS[3:5], drift=(), agreement=None,
        leaked_items=(), common=(), skipped=0,
    )  # fmt: skip


def stopped() -> DataReport:
    """A night that a critical breach stopped."""
    broken = (
        finding(
            "share_secret",
            severity="critical",
            success=False,
            observed=0.112,
            expected="<= 0.02",
            why="secrets in service logs are an incident",
        ),
        finding("share_email", success=False, observed=None, error="the column is missing"),
    )
    return full(trained=None, expectations=(*FINDINGS, *broken))


def empty() -> DataReport:
    """A night without a row."""
    return DataReport(night="n", recipe="r", made="2026-11-26T02:00:00Z")


def attacked(attack: str = ATTACK) -> DataReport:
    """Every free text attacks."""
    sample: dict[str, Any] = {
        "id": attack,
        "source": attack,
        "line": 1,
        "builder": attack,
        "because": attack,
        "error": attack,
    }
    texts = {"prompt": attack, "chosen": attack, "rejected": attack}
    moved = ((attack, 0.1, 0.2),)
    return full(
        night=attack,
        recipe=attack,
        made=attack,
        sources=(source(attack, attack, 400, 2, 1),),
        reasons=(Reason(name=attack, rows=3), Reason(name="unreadable", rows=1)),
        samples=(Sample(reason=attack, **sample, **texts), Sample(reason="unreadable", raw=attack, **sample)),
        expectations=(
            finding(attack, severity=attack, success=False, expected=attack, why=attack),
            finding(attack, error=attack),
        ),
        bias=tuple(one.model_copy(update={"name": attack, "says": attack}) for one in BIAS),
        drift=(
            DriftAgainst(
                against=attack,
                figures=tuple(one.model_copy(update={"name": attack, "says": attack, "moved": moved}) for one in DRIFT),
            ),
        ),
        leaked_items=(Leaked(attack, attack, 1),),
        common=(Common(attack, 11, 1),),
    )


EXAMPLES = {"full": full, "first": first, "stopped": stopped, "empty": empty, "attacked": attacked}


def example(name: str) -> str:
    return data_page(EXAMPLES[name](), plain)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in EXAMPLES:
        (folder / f"{kind}.html").write_text(example(kind))
