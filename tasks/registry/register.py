"""register: a version with its evidence. PASS awaits approval; anything else is recorded and not promotable."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infra.digest import Digest
from infra.store import Blob, Store
from infra.tracking import Tracker
from tasks.contracts import Bill, Evidence, Night, Preferences, Release, Verdict
from tasks.registry.client import Registry, model_tags
from tasks.release import POLICY_TAG, ApprovalSpec, release_policy


def register_version(
    night: Night,
    registry: Registry,
    evidence: Evidence,
    preferences: Preferences,
    bill: Bill,
    report: Blob,
    tracker: Tracker,
    store: Store,
    quantise: str | None,
) -> Release:
    """Upload the artifacts, then create the version in one call. The same evidence finds the version it made before.

    Args:
        quantise: GGUF type the version was judged in, and so is served in.
    """
    blob = store.put_bytes(evidence.model_dump_json(indent=1).encode(), "application/json")
    number = registry.by_key(evidence.key)
    if number is None:
        upload(night.mlflow_run, evidence, blob, preferences, bill, report, tracker, store)
        registry.ensure("Nightshift")
        number = registry.create(
            source=f"runs:/{night.mlflow_run}/candidate",
            run=night.mlflow_run,
            tags=version_tags(evidence, blob, bill, night, store, quantise)
            | request_tags(evidence, release_policy(registry.model_tag(POLICY_TAG)).approval, datetime.now(UTC)),
            description=evidence.verdict.paragraph,
        )
    return Release(
        name=registry.name,
        version=number,
        verdict=evidence.verdict.verdict,
        state="awaits approval" if awaits_approval(evidence.verdict, evidence.promotable) else "recorded",
        evidence=blob,
        url=tracker.version_url(registry.name, number),
    )


def awaits_approval(verdict: Verdict, promotable: bool) -> bool:
    return promotable and verdict.verdict == "PASS"


def version_tags(
    evidence: Evidence, blob: Blob, bill: Bill, night: Night, store: Store, quantise: str | None
) -> dict[str, str]:
    """Everything a person or ``promote`` needs to find, as tags."""
    tags = {
        "nightshift.key": evidence.key,
        "nightshift.role": "candidate",
        "nightshift.night": evidence.night,
        "nightshift.night_name": night.name,
        "nightshift.verdict": evidence.verdict.verdict,
        "nightshift.promotable": str(evidence.promotable).lower(),
        "nightshift.waivable": str(evidence.verdict.waivable).lower(),
        "nightshift.evidence": blob.model_dump_json(),
        "nightshift.recipe": evidence.recipe,
        "nightshift.snapshot": evidence.snapshot,
        "nightshift.preferences": evidence.preferences,
        "nightshift.champion": evidence.champion or "",
        "nightshift.anchor": evidence.anchor or "",
        "nightshift.quantise": quantise or "",
        "nightshift.cost": f"{bill.amount:.4f} {bill.currency}{_marks(bill)}",
        **({"nightshift.portability": evidence.portability.finding} if evidence.portability else {}),
        **phase_tags(evidence.verdict),
        **model_tags(evidence.model, evidence.trained_on, store),
    }
    return tags


def phase_tags(verdict: Verdict) -> dict[str, str]:
    """Of a night with several phases, which one this is, and what was said of each."""
    chosen = next((one for one in verdict.phases if one.chosen), None)
    if chosen is None:
        return {}
    said = [f"{one.number} {one.method}: {one.verdict or 'no candidate'}" for one in verdict.phases]
    return {"nightshift.phase": f"{chosen.number} {chosen.method}", "nightshift.phases": "; ".join(said)}


def _marks(bill: Bill) -> str:
    said = [*(["estimated"] if bill.estimated else []), *(["example prices"] if bill.example else [])]
    return f" ({', '.join(said)})" if said else ""


def request_tags(evidence: Evidence, policy: ApprovalSpec, now: datetime) -> dict[str, str]:
    """What asks for a decision, and until when: PASS asks by itself, what can be waived waits for a waiver."""
    if not evidence.promotable:
        return {}
    expires = {"approval.expires": (now + timedelta(hours=policy.expires_hours)).isoformat(timespec="seconds")}
    if awaits_approval(evidence.verdict, evidence.promotable):
        return {"approval": "requested", **expires}
    return expires if evidence.verdict.waivable else {}


def upload(
    run: str,
    evidence: Evidence,
    blob: Blob,
    preferences: Preferences,
    bill: Bill,
    report: Blob,
    tracker: Tracker,
    store: Store,
) -> None:
    """The version's artifacts, before the version exists."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files: dict[str, Digest] = {
            "report.html": report.digest_,
            "evidence/evidence.json": blob.digest_,
            "data/quarantine.jsonl": preferences.quarantine.digest_,
            "data/profile.json": preferences.profile.digest_,
            "data/report.html": preferences.page.digest_,
        }
        if evidence.portability is not None and evidence.portability.receipt is not None:
            files["evidence/receipt.json"] = evidence.portability.receipt.digest_
        files |= {f"evidence/scorecards/{ref.role}-{ref.suite}.json": ref.card.digest_ for ref in evidence.cards}
        for name, digest in files.items():
            if store.has(digest):  # a blocked night may lack a card; its evidence says so
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(store.path(digest).read_bytes())
        (root / "bill.json").write_text(json.dumps(bill.model_dump(), indent=1))
        store.checkout(preferences.data_docs, root / "data" / "data_docs")
        if evidence.model.adapter is not None:
            store.checkout(evidence.model.adapter, root / "candidate")
        tracker.artifacts(run, root)
