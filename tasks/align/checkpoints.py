"""The checkpoints of a training: which of them are whole, and which one a killed night resumes from.

The Trainer doesn't write a checkpoint atomically, so one that was killed while saving looks much like a whole one.
Each is therefore sealed after it was saved: ``sealed.json``, written last and at once, lists all its files with their
digests, and the context, a digest of everything that decides the course of the training. What isn't sealed, or isn't
what was sealed, is never resumed from.
"""

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.digest import Digest, Record, canonical_json, digest_file
from tasks.errors import ModelError

HISTORY = "history.json"
SEAL = "sealed.json"
SWEPT_AFTER_DAYS = 7.0
_WRITING = "sealed.json.writing"
_NAME = re.compile(r"checkpoint-(0|[1-9][0-9]{0,17})")


class Found(Record):
    """The checkpoint to resume from, and a sentence on each newer one that was passed over."""

    path: str
    step: int
    history: tuple[dict[str, Any], ...]
    damaged: tuple[str, ...]


class _Seal(Record):
    step: int
    context: Digest
    files: dict[str, Digest]


class _NotWhole(Exception):
    """What is wrong with a checkpoint, in words that follow its name."""


class _NeverSealed(_NotWhole):
    """The training was killed while it saved: nothing was completed, so nothing is lost."""


def seal(checkpoint: Path, context: Digest, history: list[dict[str, Any]]) -> None:
    """Declare a checkpoint complete, once every process has written its part of it.

    Raises:
        ModelError: something can't be written or read, for instance because the disk is full.
    """
    if _NAME.fullmatch(checkpoint.name) is None:
        raise ModelError(f"{checkpoint} is not named checkpoint-<step>", do="seal the folders that the Trainer saves")
    try:
        # a seal of an earlier attempt, which the Trainer has just written over, is none of this one's
        _unseal(checkpoint)
        (checkpoint / HISTORY).write_text(json.dumps(history, allow_nan=False), encoding="utf-8")
        files = {}
        for name in sorted(_names(checkpoint)):
            # durable before the seal is: else a power failure leaves a seal over files that never reached the disk
            _sync(checkpoint / name)
            files[name] = digest_file(checkpoint / name)
        for folder in (path for path in checkpoint.rglob("*") if path.is_dir()):
            _sync(folder)
        _write_seal(checkpoint, _Seal(step=_step(checkpoint), context=context, files=files))
        _sync(checkpoint.parent)
    except OSError as error:
        raise _unwritable(checkpoint, error) from error


def newest(folder: Path, context: Digest) -> Found | None:
    """The newest whole checkpoint, or None where the training starts anew.

    One that was killed while saving, or was damaged since, is passed over: resuming from an older one is as exact.

    Raises:
        ModelError: the newest whole one belongs to another context, or none of those once sealed is whole any more.
    """
    passed, only_never_sealed = [], True
    for checkpoint in _newest_first(folder):
        try:
            found, history = _whole(checkpoint)
        except _NotWhole as problem:
            passed.append(f"{checkpoint.name}: {problem}")
            only_never_sealed &= isinstance(problem, _NeverSealed)
            continue
        if found.context != context:
            raise _of_another_context(checkpoint, found.context, context)
        return Found(path=str(checkpoint), step=found.step, history=history, damaged=tuple(passed))
    if only_never_sealed:
        return None
    raise ModelError(
        f"no checkpoint under {folder} is whole: {'; '.join(passed)}",
        do="run again with --fresh, which starts the training over, or restore one of them from a backup",
    )


def prune(folder: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest whole checkpoints (at least one), and what was killed while saving before.

    A damaged one doesn't count: after a night that passed over damaged newer ones, counting them would remove the
    only one it can resume from.

    Raises:
        ModelError: something can't be removed.
    """
    checkpoints = _newest_first(folder)
    try:
        sealed = [checkpoint for checkpoint in checkpoints if (checkpoint / SEAL).exists()]
        if not sealed:
            return
        spared = _spared(sealed, max(keep, 1))
        for checkpoint in reversed(checkpoints):
            if checkpoint not in spared and _step(checkpoint) < _step(sealed[0]):
                _remove(checkpoint)
    except OSError as error:
        raise _unremovable(folder, error) from error


def clear(folder: Path) -> None:
    """Remove the folder with all its checkpoints: the training has succeeded, or starts over.

    Raises:
        ModelError: something can't be removed.
    """
    checkpoints = _newest_first(folder)
    try:
        # no seal outlives its files: killed half-way, the next night finds unsealed rests and not damaged checkpoints
        for checkpoint in reversed(checkpoints):
            _unseal(checkpoint)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise _unremovable(folder, error) from error


def sweep(courses: Path, but: Path, days: float = SWEPT_AFTER_DAYS) -> list[Path]:
    """Remove the folders of courses that nothing was saved in for so many days; what was removed.

    Each changed recipe, pair or library is a course of its own, so a folder that no night goes on from would stay for
    ever, and one of a model trained in full is as large as three models.

    Raises:
        ModelError: something can't be removed.
    """
    swept = []
    try:
        for folder in stale_courses(courses, time.time() - days * 86_400):
            if folder != but:
                clear(folder)
                swept.append(folder)
    except OSError as error:
        raise _unremovable(courses, error) from error
    return swept


def stale_courses(courses: Path, before: float) -> list[Path]:
    """The folders of courses that nothing was saved in since ``before`` (seconds since the epoch)."""
    # saving a checkpoint renews the folder's own time: it is a new name in there
    return sorted(path for path in courses.glob("*") if path.is_dir() and path.stat().st_mtime < before)


def _newest_first(folder: Path) -> list[Path]:
    """The checkpoint folders by step: as text, checkpoint-9 would be newer than checkpoint-10."""
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(
            f"the checkpoints under {folder} can't be listed: {error.strerror or error}",
            do="fix the permissions there, or run again with --fresh and NIGHTSHIFT_HOME on another disk",
        ) from error
    return sorted(found, key=_step, reverse=True)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _names(checkpoint: Path) -> set[str]:
    """The relative paths of all that isn't a folder, the seal excepted."""
    inside = (path for path in checkpoint.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(checkpoint).as_posix() for path in inside} - {SEAL}


def _whole(checkpoint: Path) -> tuple[_Seal, tuple[dict[str, Any], ...]]:
    """The seal and the history of a checkpoint whose files are exactly those that were sealed."""
    found = _read_seal(checkpoint)
    if found.step != _step(checkpoint):
        raise _NotWhole(f"{SEAL} is that of step {found.step}")
    try:
        there = _names(checkpoint)
    except OSError as error:
        raise _NotWhole(f"can't be listed: {error.strerror or error}") from error
    # what needs no reading of gigabytes comes first
    for name in sorted(found.files.keys() - there):
        raise _NotWhole(f"{name} is missing")
    for name in sorted(there - found.files.keys()):
        raise _NotWhole(f"{name} was added after it was sealed")
    for name, digest in sorted(found.files.items()):
        _check_file(checkpoint, name, digest)
    return found, _read_history(checkpoint)


def _read_seal(checkpoint: Path) -> _Seal:
    try:
        return _Seal.model_validate_json((checkpoint / SEAL).read_bytes(), strict=True)
    except FileNotFoundError as error:
        raise _NeverSealed("was never sealed, so the training was killed while saving it") from error
    except OSError as error:
        raise _NotWhole(f"{SEAL} can't be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise _NotWhole(f"{SEAL} is truncated or changed") from error


def _check_file(checkpoint: Path, name: str, digest: Digest) -> None:
    try:
        found = digest_file(checkpoint / name)
    except OSError as error:
        raise _NotWhole(f"{name} can't be read: {error.strerror or error}") from error
    if found != digest:
        raise _NotWhole(f"{name} is truncated or changed")


def _read_history(checkpoint: Path) -> tuple[dict[str, Any], ...]:
    # its digest holds, so only a seal made by other means than ours gets past here with anything but our history
    try:
        history = json.loads((checkpoint / HISTORY).read_bytes())
    except (OSError, ValueError) as error:
        raise _NotWhole(f"{HISTORY} can't be read") from error
    if not isinstance(history, list) or not all(isinstance(metrics, dict) for metrics in history):
        raise _NotWhole(f"{HISTORY} is no list of metrics")
    return tuple(history)


def _write_seal(checkpoint: Path, content: _Seal) -> None:
    """All of it or nothing, and on the disk when this returns."""
    temporary = checkpoint / _WRITING
    try:
        temporary.write_bytes(canonical_json(content))
        _sync(temporary)
        temporary.replace(checkpoint / SEAL)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(checkpoint)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)  # a folder can be opened no other way
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _spared(sealed: list[Path], keep: int) -> list[Path]:
    """From the newest on, as many as it takes for ``keep`` whole ones; the damaged between them are left to be seen."""
    spared, whole = [], 0
    for checkpoint in sealed:
        if whole == keep:
            break
        spared.append(checkpoint)
        try:
            _whole(checkpoint)
        except _NotWhole:
            continue
        whole += 1
    return spared


def _unseal(checkpoint: Path) -> None:
    (checkpoint / SEAL).unlink(missing_ok=True)
    (checkpoint / _WRITING).unlink(missing_ok=True)


def _remove(checkpoint: Path) -> None:
    # the seal first: killed half-way, what is left is an unsealed checkpoint and not a damaged one
    _unseal(checkpoint)
    shutil.rmtree(checkpoint)


def _of_another_context(checkpoint: Path, found: Digest, asked: Digest) -> ModelError:
    return ModelError(
        f"{checkpoint} is of another training (context {found}, this one is {asked}): the recipe, the data, the code "
        "or a library's version changed since; which of them can't be told from the digests",
        do=f"run again with --fresh, which starts the training over, or delete {checkpoint.parent}",
    )


def _unwritable(checkpoint: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the checkpoint {checkpoint} can't be sealed: {error.strerror or error}",
        do="free space or fix permissions there, or set NIGHTSHIFT_HOME to another disk with a copy of the state, "
        "then run again: the sealed checkpoint before it is kept, and the night resumes from it",
    )


def _unremovable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        f"checkpoints under {folder} can't be removed: {error.filename or folder}: {error.strerror or error}",
        do=f"fix permissions there, or delete {folder} by hand once no training needs it",
    )
