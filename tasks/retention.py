"""`nightshift clean`: remove what nothing needs any more, say what went and what stays (docs/design/retention.md).

Everything is decided first, and then carried out in an order in which it may be cut off anywhere: folders go by one
rename, what names objects goes before the objects, and an object goes by one unlink.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from infra.digest import Record
from infra.inflight import jobs_in_flight
from infra.lock import no_night
from infra.mark import Object, objects
from infra.settings import Settings
from infra.store import Store
from tasks import place
from tasks.align.checkpoints import clear, stale_courses
from tasks.lm.merged import drop_merged
from tasks.registry.client import read_all
from tasks.registry.pinned import Pinned, pinned
from tasks.retained import DAY, GRACE_SECONDS, Policy, Roots, roots_of

_PARQUET = b"PAR1"

# in the order in which they go
KINDS = {
    "checkpoints": "trainings that no night goes on from",
    "work": "what programs of nights that have ended worked with",
    "merged models": "of versions that are not live; made anew where one is asked for",
    "nights": "folders of nights that have ended; their bills stay",
    "results": "of steps, and scorecards' index: what would be found again instead of made again",
    "laid-out models": "hard links to objects that go",
    "snapshots": "raw rows of the sources",
    "objects": "everything else in the store",
    "half-written": "objects whose writer was killed",
}


class Tally(Record):
    """So many files of a kind, and their bytes on disk; a file under several names counts once."""

    kind: str
    why: str  # they go, or stay
    files: int
    size: int


class Cleaned(Record):
    """What went (or would), and what stays."""

    dry_run: bool
    freed: tuple[Tally, ...]
    kept: tuple[Tally, ...]
    seconds: float


class Going(NamedTuple):
    """One thing to remove; ``gone`` removes it, whole or, cut off, so that it counts as not there."""

    kind: str
    path: Path
    gone: Callable[[], None]


def clean_home(*, dry_run: bool) -> Cleaned:
    """Clean HOME of this process, by the registry that it uses.

    Raises:
        NightLocked: a night is running.
        NightshiftError: the registry or a file can't be read: then nobody knows what is needed, and nothing is removed.
    """
    settings, tracker = place.settings(), place.tracking()
    tracker.check()
    with no_night(settings.home):
        before = datetime.fromtimestamp(time.time() - settings.keep_snapshots_days * DAY, UTC)
        pins = pinned(read_all(tracker.client), place.store(), before)
        return clean(settings.home, place.store(), pins, policy_of(settings), time.time(), dry_run=dry_run)


def policy_of(settings: Settings) -> Policy:
    return Policy(
        nights=settings.keep_nights_days,
        checkpoints=settings.keep_checkpoints_days,
        snapshots=settings.keep_snapshots_days,
    )


def clean(home: Path, store: Store, pins: Pinned, policy: Policy, now: float, *, dry_run: bool) -> Cleaned:
    """Clean a state folder. No night may run meanwhile (``infra.lock.no_night``).

    Args:
        now: seconds since the epoch.
    """
    begun, trash = time.monotonic(), home / "trash"
    if not dry_run and trash.is_dir():
        shutil.rmtree(trash)  # a cleaning was killed
    stale = stale_courses(home / "checkpoints", now - policy.checkpoints * DAY)
    roots = roots_of(home, store, pins, jobs_in_flight(home), stale, policy, now)
    there = list(objects(store))
    going = list(_going(home, roots, there, trash, now))
    freed = _tallies((one.kind, KINDS[one.kind], one.path) for one in going)
    kept = _tallies(_staying(roots, there, {one.path for one in going}, now))
    if not dry_run:
        for one in going:
            one.gone()
    return Cleaned(dry_run=dry_run, freed=freed, kept=kept, seconds=time.monotonic() - begun)


def _going(home: Path, roots: Roots, there: Iterable[Object], trash: Path, now: float) -> Iterator[Going]:
    """Everything that goes, in the order in which it goes."""
    for path in (folder for folder, why in roots.checkpoints.items() if not why):
        yield Going("checkpoints", path, lambda path=path: clear(path))
    for kind, folders in (("work", roots.work), ("nights", [one for one, why in roots.nights.items() if not why])):
        for path in folders:
            yield Going(kind, path, lambda path=path: _throw_away(path, trash))
    for path in roots.merged:
        yield Going("merged models", path, lambda path=path: drop_merged(path))
    for path in roots.indexes:
        yield Going("results", path, lambda path=path: path.unlink(missing_ok=True))
    old = [one for one in there if one.modified < now - GRACE_SECONDS and one.digest not in roots.marked]
    if roots.busy:  # a job may be reading the other name; both go when none is
        old = [one for one in old if one.path.lstat().st_nlink == 1]
    for path in _laid_out(home, old):
        yield Going("laid-out models", path, lambda path=path: _throw_away(path, trash))
    for one in old:
        yield Going(_kind(one), one.path, lambda one=one: _unlink_old(one, now))


def _staying(roots: Roots, there: Iterable[Object], going: set[Path], now: float) -> Iterator[tuple[str, str, Path]]:
    for one in there:
        if one.path not in going:
            young = not one.modified < now - GRACE_SECONDS
            yield (
                _kind(one),
                "written or put again in the last day" if young else "something that stays needs them",
                one.path,
            )
    for kind, folders in (("nights", roots.nights), ("checkpoints", roots.checkpoints)):
        yield from ((kind, why, path) for path, why in folders.items() if why)


def _throw_away(folder: Path, trash: Path) -> None:
    """Out of its place by one rename, then file by file; the next cleaning ends one that was cut off."""
    trash.mkdir(parents=True, exist_ok=True)
    target = trash / f"{folder.parent.name}-{folder.name}"
    folder.rename(target)
    shutil.rmtree(target)


def _unlink_old(one: Object, now: float) -> None:
    """Unless the same bytes were put again since it was looked at: then somebody is about to refer to it."""
    try:
        if one.path.stat().st_mtime < now - GRACE_SECONDS:
            one.path.unlink()
    except FileNotFoundError:
        return


def _laid_out(home: Path, old: Iterable[Object]) -> Iterator[Path]:
    """Folders in which a model's files are links to objects that go: while they are there nothing is freed."""
    inodes = {(found.st_dev, found.st_ino) for one in old if (found := one.path.lstat()).st_nlink > 1}
    for folder in sorted((home / "work" / "models").glob("*")):
        if any((found.st_dev, found.st_ino) in inodes for found in _files(folder)):
            yield folder


def _kind(one: Object) -> str:
    if one.digest is None:
        return "half-written"
    with one.path.open("rb") as file:
        return "snapshots" if file.read(4) == _PARQUET else "objects"


def _files(path: Path) -> list[os.stat_result]:
    inside = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    return [one.lstat() for one in inside if one.is_symlink() or not one.is_dir()]


def _tallies(paths: Iterable[tuple[str, str, Path]]) -> tuple[Tally, ...]:
    found: dict[tuple[str, str], list[int]] = {}
    counted: set[tuple[int, int]] = set()
    for kind, why, path in paths:
        row = found.setdefault((kind, why), [0, 0])
        for file in _files(path):
            row[0] += 1
            if (file.st_dev, file.st_ino) not in counted:
                counted.add((file.st_dev, file.st_ino))
                row[1] += file.st_blocks * 512
    order = list(KINDS)
    return tuple(
        Tally(kind=kind, why=why, files=files, size=size)
        for (kind, why), (files, size) in sorted(found.items(), key=lambda one: (order.index(one[0][0]), one[0][1]))
    )


def in_words(cleaned: Cleaned) -> str:
    """What `nightshift clean` prints."""
    did = "Would free" if cleaned.dry_run else "Freed"
    lines = [f"{did} {_bytes(sum(one.size for one in cleaned.freed))}"]
    lines += [_row(one) for one in cleaned.freed] or ["  nothing: all that is here is needed, or too young"]
    lines += ["", f"Kept {_bytes(sum(one.size for one in cleaned.kept))}", *map(_row, cleaned.kept)]
    return "\n".join(lines)


def _row(one: Tally) -> str:
    return f"  {one.kind:<16} {one.files:>8,} files {_bytes(one.size):>12}   {one.why}"


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
