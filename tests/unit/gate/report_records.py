"""Builders of the records that a report is made from, for tests; every number in them is made up."""

from typing import Any

from infra.store import Blob, Tree
from tasks.contracts import (
    Baseline,
    Baselines,
    Bill,
    BillLine,
    Model,
    Plan,
    Preferences,
    Shard,
    Snapshot,
    SourceFile,
    SuiteResult,
    Verdict,
    VerdictName,
)


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


BLOB = Blob(digest_=digest("b"), size=1)
TREE = Tree(digest_=digest("e"), files=())
HISTORY = [{"step": i, "loss": 1 / i, "rewards_margins": i / 10, "rewards_accuracies": 0.75} for i in range(1, 11)]
NIGHT = "support-8b-2026-11-24-0200-7f3a"
EMPTY: dict[str, Any] = dict.fromkeys(
    (
        "champion",
        "candidate",
        "delta",
        "lower",
        "upper",
        "p_harm",
        "anchor_delta",
        "anchor_lower",
        "anchor_upper",
        "mde",
        "items_to_settle",
    )
)


def suite(name: str = "safety", **changes: Any) -> SuiteResult:
    numbers: dict[str, Any] = {
        "measure": "right",
        "n": 813,
        "champion": 0.8011,
        "candidate": 0.8132,
        "delta": 0.0121,
        "lower": -0.0103,
        "upper": 0.0345,
        "margin": 0.03,
        "p_harm": 0.4321,
        "anchor_delta": 0.02,
        "anchor_lower": -0.0417,
        "anchor_upper": 0.09,
        "budget": 0.08,
        "mde": 0.0266,
        "items_to_settle": None,
        "target": False,
        "verdict": "PASS",
        "reason": f"{name} is no worse than the margin allows",
    }
    return SuiteResult(name=name, **numbers | changes)


def blocked(name: str, target: bool = False) -> SuiteResult:
    return suite(name, **EMPTY, n=0, verdict="BLOCK", reason="not judged", target=target)


def verdict(word: VerdictName = "PASS", **changes: Any) -> Verdict:
    suites = (
        suite("safety"),
        suite("house", delta=0.0312, lower=0.0205, margin=0.02, target=True, reason="proven better"),
    )
    fields: dict[str, Any] = {
        "paragraph": f"{word}: why it came so.",
        "suites": suites,
        "problems": (),
        "alpha": 0.05,
        "anchor_z": 3.64,
        "decision": 38,
        "planned": 365,
        "candidate": digest("c"),
        "champion": digest("d"),
        "anchor": digest("a"),
        "cards": (digest("1"), digest("2")),
    }
    return Verdict(verdict=word, **fields | changes)


def bill_line(step: str, amount: float, **changes: Any) -> BillLine:
    fields: dict[str, Any] = {
        "attempts": 1,
        "failed": 0,
        "device": "cpu",
        "seconds": 90.0,
        "device_hours": 0.025,
        "kwh": 0.0016,
        "estimated": False,
    }
    return BillLine(step=step, amount=amount, **fields | changes)


def bill(*lines: BillLine, **changes: Any) -> Bill:
    fields: dict[str, Any] = {
        "device_hours": 0.05,
        "gpu_hours": 0.0,
        "kwh": 0.0032,
        "amount": sum(line.amount for line in lines),
        "currency": "EUR",
        "estimated": any(line.estimated for line in lines),
        "price_book": "workstation of 2026-11-01",
        "source": "a made-up source",
    }
    return Bill(lines=lines, **fields | changes)


def fields(**changes: Any) -> dict[str, Any]:
    """The arguments of ``report_html`` for a plain night."""
    given: dict[str, Any] = {
        "night": "2026-11-23-7f3a",
        "recipe": "demo",
        "created": "2026-11-24 03:12 UTC",
        "verdict": verdict(),
        "bill": bill(bill_line("align", 0.0071, attempts=3, failed=2, estimated=True), bill_line("score", 0.0089)),
        "plan": Plan(
            train=True,
            reason="418 new pairs",
            new_pairs=418,
            pairs=1920,
            steps=240,
            memory_bytes=3 * 2**30,
            seconds=8400.0,
            amount=0.02,
            currency="EUR",
        ),
        "preferences": Preferences(
            train=BLOB,
            house=BLOB,
            quarantine=BLOB,
            profile=BLOB,
            data_docs=TREE,
            page=BLOB,
            n_train=2107,
            n_house=412,
            n_held_out=500,
            n_quarantined=55,
            warnings=("chosen answers are longer than rejected ones",),
        ),
        "snapshot": Snapshot(
            shards=(Shard(rows=BLOB, n_rows=2574),),
            n_rows=2574,
            files=(SourceFile(url="/data/day.jsonl", name="day.jsonl", version=digest("f"), size=2048, rows=2574),),
        ),
        "baselines": Baselines(
            champion=Baseline(version=14, model=Model(base=TREE), trained_on=None),
            anchor=Baseline(version=1, model=Model(base=TREE), trained_on=None),
        ),
        "history": HISTORY,
        "samples": [{"prompt": "Where is my parcel?", "champion": "It is late.", "candidate": "It is near."}],
        "quarantine": {"email": 12, "duplicate_pair": 31},
        "promotable": True,
        "flips": (),
        "flip_counts": (),
        "past": (),
        "reanchored": (),
    }
    return given | changes
