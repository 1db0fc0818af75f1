"""Metrics of what serves, what awaits approval, audits, jobs, and the disk: from records, files in, samples out."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from infra.exposition import Sample
from infra.inflight import Job
from tasks.registry.audited import Audited
from tasks.registry.incidents import Incident
from tasks.registry.manifest import Manifest
from tasks.registry.state import Expected, Slot
from tasks.registry.waiting import expired


def serving_samples(manifests: Iterable[Manifest], held: Iterable[str]) -> Iterator[Sample]:
    """What serves, and where promotions are held. Pure.

    Args:
        held: models with a hold, readable or not.
    """
    holds, names = set(held), set()
    for one in manifests:
        names.add(one.name)
        yield Sample("nightshift_champion_version", one.version, (one.name,))
        since = datetime.fromisoformat(one.at).timestamp()
        yield Sample("nightshift_champion_since_timestamp_seconds", since, (one.name,))
    for name in sorted(names | holds):
        yield Sample("nightshift_serving_held", float(name in holds), (name,))


def awaiting_samples(expected: Expected, now: datetime) -> Iterator[Sample]:
    """Versions that await approval, as the guard's journal has them. Pure."""
    for name, model in sorted(expected.models.items()):
        if not model.ours or model.maybe_gone:
            continue
        since = []
        for version in model.versions.values():
            tags = {key: value for key, slot in version.tags.items() if (value := _value(slot)) is not None}
            if tags.get("approval") == "requested" and not version.maybe_gone and not expired(tags, now):
                since.append(datetime.fromisoformat((version.line or version.tags["approval"]).at).timestamp())
        yield Sample("nightshift_awaiting_versions", len(since), (name,))
        if since:
            yield Sample("nightshift_awaiting_since_timestamp_seconds", min(since), (name,))


def _value(slot: Slot) -> str | None:
    """What was set last, also where nobody knows whether it was."""
    return slot.values[-1]


def audit_samples(audited: Audited | None, incidents: Mapping[str, Incident]) -> Iterator[Sample]:
    """When audits ran and were clean, and what people have to close. Pure."""
    if audited is not None:
        at = datetime.fromisoformat(audited.at).timestamp()
        yield Sample("nightshift_audit_timestamp_seconds", at)
        if audited.clean_at is not None:
            clean = datetime.fromisoformat(audited.clean_at).timestamp()
            yield Sample("nightshift_audit_clean_timestamp_seconds", clean)
    counts = Counter({"": 0})
    counts.update(one.finding.name for one in incidents.values() if one.state in {"open", "gone"})
    for name, count in sorted(counts.items()):
        yield Sample("nightshift_incidents_open", count, (name,))


def job_samples(jobs: Iterable[Job]) -> Iterator[Sample]:
    """Remote jobs by pool and state. Pure."""
    for (pool, state), count in sorted(Counter((one.pool, one.state) for one in jobs).items()):
        yield Sample("nightshift_remote_jobs", count, (pool, state))


def disk_samples(home: Path) -> Iterator[Sample]:
    """The store's size and what is left."""
    sizes = [size for folder in _entries(home / "store" / "sha256") for size in _sizes(folder)]
    yield Sample("nightshift_store_bytes", sum(sizes))
    yield Sample("nightshift_store_objects", len(sizes))
    found = os.statvfs(home)
    yield Sample("nightshift_home_free_bytes", found.f_bavail * found.f_frsize)
    yield Sample("nightshift_home_size_bytes", found.f_blocks * found.f_frsize)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sizes(folder: os.DirEntry[str]) -> Iterator[int]:
    for one in _entries(Path(folder.path)):
        if not one.name.startswith("."):
            try:
                yield one.stat(follow_symlinks=False).st_size
            except FileNotFoundError:  # cleaned away meanwhile
                continue
