"""Approve, reject, waive: what a person says of a version. The guard writes beside it who said so and when."""

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path

from infra.ledger import append, ledger_path, read_ledger
from tasks.errors import NotPromotable, RegistryError
from tasks.registry.approval import approvals_missing, refuse_approval
from tasks.registry.client import Registry
from tasks.release import POLICY_TAG, release_policy


def whoami() -> str:
    """The logged-in operating-system user: never an argument, never an environment variable."""
    return pwd.getpwuid(os.getuid()).pw_name


def approve(registry: Registry, number: int, waiver: str = "") -> str:
    """Approve a version that awaits it, or that a waiver lets through. Who does is the registry's account.

    Raises:
        NotPromotable: its verdict or state doesn't allow it.
        Refused, RegistryRefused: the guard doesn't allow it.
        RegistryError: nobody wrote down who approves, so no approval counts there.
    """
    tags = registry.version(number).tags
    policy = release_policy(registry.model_tag(POLICY_TAG)).approval
    if tags.get("approval") == "approved" and approvals_missing(tags, policy) is None:
        return f"version {number} of {registry.name} is approved already (by {tags['approval.by']})"
    reason = refuse_approval(tags, number, waiver)
    if reason is not None:
        raise NotPromotable(
            reason, do="only a version that awaits approval can be approved; `nightshift show last` names it"
        )
    known = tags.get("waiver") == waiver.strip() and "waiver.by" in tags
    if tags.get("nightshift.verdict") != "PASS" and not known:
        registry.set_tag(number, "waiver", waiver.strip())
    before = tags.get("approval")
    registry.set_tag(number, "approval", "approved")
    tags = registry.version(number).tags
    if not tags.get("approval.by"):
        if before is not None:  # else behind a guard it would no longer await a decision
            registry.set_tag(number, "approval", before)
        raise RegistryError(
            f"MLflow wrote down nobody as the approver of version {number}: it runs without Nightshift's guard",
            do="serve it with `nightshift up` or `mlflow server --app-name nightshift`, and approve again",
        )
    missing = approvals_missing(tags, policy)
    told = f"; it has {missing}, and awaits the next" if missing else ""
    return f"version {number} of {registry.name} approved by {tags.get('approval.by')}{told}"


def reject(registry: Registry, number: int, reason: str) -> str:
    """Record a rejection; a champion can't be rejected, only rolled back."""
    if not reason.strip():
        raise NotPromotable(
            f"version {number} can't be rejected without a reason", do="say why: nightshift reject VERSION 'reason'"
        )
    if registry.alias("champion") == number:
        raise NotPromotable(f"version {number} serves as champion", do="use `nightshift rollback`")
    if registry.version(number).tags.get("nightshift.role") != "candidate":
        raise NotPromotable(f"version {number} is no candidate", do="name a candidate")
    registry.set_tag(number, "approval", f"rejected: {reason.strip()}")
    by = registry.version(number).tags.get("approval.by")
    return f"version {number} of {registry.name} rejected by {by}: {reason.strip()}"


def note_waiver(home: Path, registry: Registry, number: int) -> None:
    """Write the waiver of a version that is about to be promoted into the recipe's ledger, once."""
    tags = registry.version(number).tags
    if tags.get("nightshift.verdict") == "PASS" or not tags.get("waiver"):
        return
    body = {
        "version": number,
        "night": tags.get("nightshift.night", ""),
        "by": tags.get("waiver.by", ""),
        "reason": tags["waiver"],
    }
    path = ledger_path(home, registry.name)
    if not any(one.kind == "waiver" and dict(one.body) == body for one in read_ledger(path)):
        append(path, "waiver", body, datetime.now(UTC))
