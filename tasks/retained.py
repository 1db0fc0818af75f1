"""What `nightshift clean` may not touch: the roots under HOME, and what is old enough to be no root any more."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from infra.digest import Digest, Record, short
from infra.inflight import Job
from infra.mark import digests_in, digests_in_file, objects, reachable
from infra.step import results_folder
from infra.store import Store
from tasks.registry.pinned import Pinned

DAY = 86_400.0
GRACE_SECONDS = DAY  # what was written today may be about to be referred to

# records that are never removed, and so keep for ever what they name: see docs/design/retention.md
_RECORDS = (
    "ledger/*.jsonl",
    "guard/registry.jsonl",
    "serving/*.json*",
    "serving/.*",
    "incidents/*.json",
    "bills/*/*.json",
    "receipts/**/*.json",
    "aa/*.json",
    "drills.jsonl",
    "models/*-licence.json",
    "slurm/*/*.json",
)
# of a night's folder; what it holds of data (quarantine.jsonl) names no object
_OF_A_NIGHT = ("summary.json", "bill.json", "attempts.jsonl")


class Policy(Record):
    """How long what is kept that nothing needs, in days (settings ``NIGHTSHIFT_KEEP_…_DAYS``)."""

    nights: float
    checkpoints: float
    snapshots: float


class Roots(NamedTuple):
    """What is kept, and what is not.

    Attributes:
        marked: objects of the store that something refers to.
        indexes: files that named objects and are not needed any more: they go before the objects do.
        nights, checkpoints: every folder, with the reason why it stays; empty: it goes.
        work, merged: folders that go.
        busy: a job of a remote pool may be reading what is laid out for it.
    """

    marked: set[Digest]
    indexes: tuple[Path, ...]
    nights: dict[Path, str]
    checkpoints: dict[Path, str]
    work: tuple[Path, ...]
    merged: tuple[Path, ...]
    busy: bool


def roots_of(
    home: Path, store: Store, pinned: Pinned, jobs: Iterable[Job], stale: Iterable[Path], policy: Policy, now: float
) -> Roots:
    """Look at everything under HOME; changes nothing.

    Args:
        stale: folders of checkpoints that nothing was saved in for long.

    Raises:
        StoreError: something can't be read, and so nobody knows what it refers to.
    """
    going = list(jobs)
    nights = _nights(home, pinned, now - policy.nights * DAY)
    strong = {digest for text in pinned.texts for digest in digests_in(text)}
    for path in _records(home, [folder for folder, why in nights.items() if why]):
        strong |= digests_in_file(path)
    young, old = _indexes(home, now - policy.snapshots * DAY)
    for path in young:
        strong |= digests_in_file(path)
    strong |= {one.digest for one in objects(store) if one.digest and not one.modified < now - GRACE_SECONDS}
    marked = reachable(store, strong, pinned.let_go)
    return Roots(
        marked=marked,
        indexes=tuple(path for path in old if not _needed(path, store, marked)),
        nights=nights,
        checkpoints=_checkpoints(home, set(stale), {job.checkpoints for job in going}),
        work=tuple(_old_work(home, {job.folder for job in going}, now - policy.checkpoints * DAY)),
        merged=tuple(_old_merged(home, pinned, now - policy.snapshots * DAY)),
        busy=bool(going),
    )


def _records(home: Path, nights: Iterable[Path]) -> Iterator[Path]:
    for pattern in _RECORDS:
        yield from (path for path in home.glob(pattern) if path.is_file())
    for folder in nights:
        yield from (path for name in _OF_A_NIGHT if (path := folder / name).is_file())


def _indexes(home: Path, before: float) -> tuple[list[Path], list[Path]]:
    """Files that name objects so that they are found again and not made again: results of steps, scorecards, imported
    base models, what was read and computed of sources. Reusing a result renews its time."""
    found = [
        *(path for path in results_folder(home).glob("*") if path.is_file()),
        *(home / "data" / "batches").glob("*.json"),
        *(home / "data" / "near").glob("*/*.json"),
        *(home / "data" / "features").glob("*/*.json"),
        *(home / "data" / "parts").glob("*/*.json"),
        *(home / "scorecards").glob("*.json"),
        *(path for path in (home / "models").glob("*.json") if _is_import(path)),
    ]
    young = [path for path in found if not path.stat().st_mtime < before]
    return young, [path for path in found if path.stat().st_mtime < before]


def _is_import(path: Path) -> bool:
    """Not the note of a merged model, which lies beside its folder, nor a licence."""
    return not path.name.startswith(".") and not path.stem.endswith("-licence") and not path.with_suffix("").is_dir()


def _needed(path: Path, store: Store, marked: set[Digest]) -> bool:
    """Whether an old index leads to what is kept anyway, and so saves making it again."""
    named = {digest for digest in digests_in_file(path) if store.has(digest)}
    return bool(named) and named <= marked


def _nights(home: Path, pinned: Pinned, before: float) -> dict[Path, str]:
    """Folders of nights, and why they stay. One that never ended holds the only record of what it has cost."""
    live = {short(one, 16) for one in pinned.nights}
    last = _last_night(home)
    found = {}
    for folder in sorted(path for path in (home / "nights").glob("*") if path.is_dir()):
        if not has_ended(folder):
            why = "not ended: it may be started again, and its attempts are billed nowhere else"
        elif folder.name in live:
            why = "of a version that serves, served, is measured from or awaits approval"
        else:
            why = "young" if folder == last or not newest(folder) < before else ""
        found[folder] = why
    return found


def _checkpoints(home: Path, stale: set[Path], going: set[Path | None]) -> dict[Path, str]:
    found = {}
    for folder in sorted(path for path in (home / "checkpoints").glob("*") if path.is_dir()):
        found[folder] = (
            "of a job in flight" if folder in going else "" if folder in stale else "a night may go on from them"
        )
    return found


def has_ended(folder: Path) -> bool:
    """Whether a night's summary and bill are of all its attempts: it was not begun again and killed since."""
    try:
        end = (folder / "summary.json").stat().st_mtime
        return (folder / "bill.json").is_file() and (folder / "attempts.jsonl").stat().st_mtime <= end
    except FileNotFoundError:
        return False


def _last_night(home: Path) -> Path | None:
    try:
        return Path((home / "last-night").read_text())
    except FileNotFoundError:
        return None


def _old_work(home: Path, going: set[Path], before: float) -> Iterator[Path]:
    """Folders of nights' programs: specs, outputs, how jobs ended. Those of a night that hasn't ended stay."""
    for folder in sorted(path for kind in ("sample", "align", "score") for path in (home / "work").glob(f"{kind}-*")):
        night = home / "nights" / folder.name.partition("-")[2]
        unfinished = night.is_dir() and not has_ended(night)
        if folder.is_dir() and not unfinished and folder not in going and newest(folder) < before:
            yield folder


def _old_merged(home: Path, pinned: Pinned, before: float) -> Iterator[Path]:
    """Merged models of versions that are not live: they are made anew where one is asked for. Use renews their time."""
    live = {f"{short(model, 32)}-" for model in pinned.models}
    for folder in sorted(path for path in (home / "models").glob("*-merged*") if path.is_dir()):
        if not folder.name.startswith(tuple(live)) and folder.stat().st_mtime < before:
            yield folder


def newest(folder: Path) -> float:
    """When something in a folder was last written, in seconds since the epoch."""
    return max((path.lstat().st_mtime for path in (folder, *folder.rglob("*"))), default=time.time())
