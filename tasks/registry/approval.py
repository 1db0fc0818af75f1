"""Who may approve what, and whether a version may be promoted. Pure: tags and evidence in, a reason or nothing out."""

from collections.abc import Mapping

from tasks.contracts import Evidence, Verdict
from tasks.release import ApprovalSpec

Tags = Mapping[str, str]

SERVICE = "service"  # the account that carries out; its name as an approver's says that a rule approved


def refuse_approval(tags: Tags, number: int, waiver: str = "") -> str | None:
    """Why this version can't be approved, or None.

    Args:
        waiver: the reason why what isn't proven shall not stand in the way; it helps INCONCLUSIVE only, and only where
            every bound against the anchor holds.
    """
    if tags.get("nightshift.role") != "candidate":
        return f"version {number} is no candidate of a night"
    verdict = tags.get("nightshift.verdict", "none")
    if verdict == "INCONCLUSIVE" and waiver.strip():
        if tags.get("nightshift.waivable") != "true":
            return f"version {number} can't be waived: a bound against the anchor does not hold"
    elif verdict != "PASS":
        if waiver.strip():
            return f"version {number} has the verdict {verdict}; a waiver excuses INCONCLUSIVE only"
        return f"version {number} has the verdict {verdict}; only PASS can be approved"
    if tags.get("nightshift.promotable") != "true":
        return f"version {number} is of a night whose gate was overridden: it is not promotable"
    if tags.get("approval", "").startswith("rejected"):
        return f"version {number} was {tags['approval']}"
    return None


def refuse_promotion(
    tags: Tags, number: int, evidence: Evidence, champion: str | None, policy: ApprovalSpec
) -> str | None:
    """Why an approved version still can't become champion, or None: tags against evidence and policy.

    Args:
        champion: digest of the model that serves now.
    """
    if tags.get("approval") != "approved":
        return f"version {number} isn't approved (approval = {tags.get('approval', 'not set')})"
    if not tags.get("approval.by"):
        return f"version {number} is approved by nobody: the tag approval.by is missing"
    if missing := approvals_missing(tags, policy):
        return f"version {number} has {missing}"
    claims = {
        "nightshift.key": evidence.key,
        "nightshift.verdict": evidence.verdict.verdict,
        "nightshift.model": evidence.model.digest,
        "nightshift.night": evidence.night,
        "nightshift.promotable": str(evidence.promotable).lower(),
    }
    for tag, value in claims.items():
        if tags.get(tag) != value:
            return f"version {number}: the tag {tag} says {tags.get(tag)}, the evidence {value}"
    if not evidence.promotable:
        return f"version {number}: the evidence says that the gate was overridden for its night"
    if evidence.verdict.verdict != "PASS" and not _waived(tags, evidence.verdict):
        return f"version {number}: the evidence says {evidence.verdict.verdict}"
    if evidence.verdict.candidate != evidence.model.digest:
        return (
            f"version {number}: the verdict is about model {evidence.verdict.candidate}, "
            f"the version holds {evidence.model.digest}"
        )
    if champion is None:
        return "there is no champion to compare with: the alias is missing"
    return None


def champion_moved(number: int, evidence: Evidence, champion: str, serving: int) -> str | None:
    """Why a version must be judged again before it can be promoted, or None: another model serves by now."""
    if evidence.champion == champion:
        return None
    return (
        f"version {number} was judged against champion {evidence.champion}, but version {serving} ({champion}) "
        "serves now: judge it again"
    )


def approvals_missing(tags: Tags, policy: ApprovalSpec) -> str | None:
    """How many approvals there are and must be, where some are missing. One by the policy's own rule is enough."""
    names = {name for name in tags.get("approval.by", "").split(", ") if name}
    automatic = policy.auto is not None and names == {SERVICE}
    if automatic or len(names - {SERVICE}) >= policy.approvers:
        return None
    return f"{len(names - {SERVICE})} of {policy.approvers} approvals ({', '.join(sorted(names)) or 'nobody'})"


def auto_problem(tags: Tags, evidence: Evidence, policy: ApprovalSpec) -> str | None:
    """Why a version can't be approved without a person, or None: every condition of the policy's rule holds."""
    rule = policy.auto
    if rule is None:
        return "the policy has no rule for approval without a person"
    if evidence.verdict.verdict != "PASS" or not evidence.promotable:
        return f"its verdict is {evidence.verdict.verdict}"
    bounds = {one.name: one.lower for one in evidence.verdict.suites}
    low = [name for name, lower in bounds.items() if lower is None or not lower > rule.lower_bounds_above]
    if low:
        return f"lower bounds are not above {rule.lower_bounds_above:g}: {', '.join(low)}"
    try:
        amount = float(tags.get("nightshift.cost", "").split()[0])
    except (ValueError, IndexError):
        return f"its cost can't be read ({tags.get('nightshift.cost', 'not set')!r})"
    if not amount <= rule.max_amount:
        return f"it cost {amount:g}, and the rule allows {rule.max_amount:g}"
    return None


def _waived(tags: Tags, verdict: Verdict) -> bool:
    """Whether a recorded waiver covers the verdict; the anchor's bounds are looked at again."""
    return (
        verdict.verdict == "INCONCLUSIVE"
        and verdict.waivable
        and bool(tags.get("waiver", "").strip())
        and bool(tags.get("waiver.by"))
        and all(one.anchor_lower is not None and one.anchor_lower > -one.budget for one in verdict.suites)
    )
