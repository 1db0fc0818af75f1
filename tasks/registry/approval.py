"""Who may approve what, and whether a version may be promoted. Pure: tags and evidence in, a reason or nothing out."""

from collections.abc import Mapping

from tasks.contracts import Evidence

Tags = Mapping[str, str]


def refuse_approval(tags: Tags, number: int) -> str | None:
    """Why this version can't be approved, or None."""
    if tags.get("nightshift.role") != "candidate":
        return f"version {number} is no candidate of a night"
    if tags.get("nightshift.verdict") != "PASS":
        return f"version {number} has the verdict {tags.get('nightshift.verdict', 'none')}; only PASS can be approved"
    if tags.get("nightshift.promotable") != "true":
        return f"version {number} is of a night whose gate was overridden: it is not promotable"
    if tags.get("approval", "").startswith("rejected"):
        return f"version {number} was {tags['approval']}"
    return None


def refuse_promotion(tags: Tags, number: int, evidence: Evidence, champion: str | None) -> str | None:
    """Why an approved version still can't become champion, or None: tags against evidence, evidence against now.

    Args:
        champion: digest of the model that serves now.
    """
    if tags.get("approval") != "approved":
        return f"version {number} isn't approved (approval = {tags.get('approval', 'not set')})"
    if not tags.get("approval.by"):
        return f"version {number} is approved by nobody: the tag approval.by is missing"
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
    if evidence.verdict.verdict != "PASS" or not evidence.promotable:
        return f"version {number}: the evidence says {evidence.verdict.verdict}"
    if evidence.verdict.candidate != evidence.model.digest:
        return (
            f"version {number}: the verdict is about model {evidence.verdict.candidate}, "
            f"the version holds {evidence.model.digest}"
        )
    if champion is None:
        return "there is no champion to compare with: the alias is missing"
    if evidence.champion != champion:
        return (
            f"version {number} was judged against champion {evidence.champion}, "
            f"but {champion} serves now: judge it again"
        )
    return None
