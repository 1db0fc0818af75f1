"""reanchor: the champion becomes the anchor, by an explicit act that the ledger keeps and every later report shows.

A new anchor forgets what was lost against the old one, and its budget begins anew. So what the champion had lost is
added to the lifetime loss, by suite, and the decisions against the anchor are counted from here.
"""

from datetime import UTC, datetime
from pathlib import Path

from infra.ledger import append, ledger_path, read_ledger
from infra.store import Store
from tasks.errors import RegistryError
from tasks.registry.client import Registry, read_baseline
from tasks.registry.promote import read_evidence


def reanchor(registry: Registry, store: Store, home: Path, who: str, reason: str) -> str:
    """Make the champion the anchor. After a crash in the middle it may be run again.

    Raises:
        RegistryError: there is no reason, no champion or no anchor, or nobody knows how far the champion is from the
            anchor.
    """
    if not reason.strip():
        raise RegistryError("re-anchoring needs a reason", do="say why: nightshift gate reanchor RECIPE --reason '...'")
    champion, anchor = read_baseline(registry, "champion", store), read_baseline(registry, "anchor", store)
    if champion is None or anchor is None:
        raise RegistryError(
            f"{registry.name} has no {'champion' if champion is None else 'anchor'}",
            do="run `nightshift init` on its recipe; if it was done before, set the alias in MLflow, knowing why",
        )
    path = ledger_path(home, registry.name)
    old, new = anchor.model.digest, champion.model.digest
    last = next((one for one in reversed(read_ledger(path)) if one.kind == "reanchor"), None)
    half_done = last is not None and old != new and (last.body["old"], last.body["new"]) == (old, new)
    losses = {} if old == new else losses_of(registry, champion.version, old, store)
    if not half_done:
        body = {"old": old, "new": new, "by": who, "reason": reason.strip(), "losses": losses}
        append(path, "reanchor", body, datetime.now(UTC))
    registry.swap_alias("anchor", champion.version, anchor.version)
    told = ", ".join(f"{name} {delta:+.4f}" for name, delta in losses.items()) or "nothing"
    return (
        f"version {champion.version} of {registry.name} is the anchor now, by {who}; "
        f"added to the lifetime loss: {told}; decisions are counted from here"
    )


def losses_of(registry: Registry, version: int, anchor: str, store: Store) -> dict[str, float]:
    """Suite → champion minus anchor, as the champion's own night measured it.

    Raises:
        RegistryError: it was measured against another anchor, or not at all.
    """
    tags = registry.version(version).tags
    verdict = read_evidence(tags, version, store).verdict if "nightshift.evidence" in tags else None
    if verdict is None or verdict.anchor != anchor:
        raise RegistryError(
            f"version {version} of {registry.name} was never compared with the anchor that there is now",
            do="promote a version of a night that was, then re-anchor",
        )
    return {one.name: one.anchor_delta for one in verdict.suites if one.anchor_delta is not None}
