"""The reference log-probabilities of DPO, computed once and read on later nights.

What is kept of an example is a pair (chosen, rejected): each the sum of the reference model's log-probabilities over
the completion's tokens, in nats. A folder holds one context (what the numbers depend on), a file in it is a segment:

    <root>/reference/<hex of context>/<hex SHA-256 of the file's bytes>.jsonl
        {"version": 1, "context": "sha256:…", "entries": 2}
        {"example": "sha256:…", "chosen": -12.25, "rejected": -31.5}
        {"example": "sha256:…", "chosen": -8.0, "rejected": -9.75}

Segments are never changed, so any number of phases and machines write into a shared folder without a lock. Nothing is
trusted that can't be checked: what is damaged, partial or contradicted reads as absent and is computed again.
"""

import contextlib
import errno
import operator
import os
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.digest import Digest, digest_bytes, digest_of
from infra.errors import StoreError
from infra.jsonl import dump_lines
from tasks.lm.reference_segment import NOISE, VERSION, Damaged, Pair, Segment, close, pair_of, parse

_WRITING = ".writing-"
_ABANDONED = 24 * 3600  # seconds
_ROUNDS = 20  # listings of a folder that changes while it is read


def example_digest(prompt_ids: Sequence[int], chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> Digest:
    """Digest of an example's token ids. Three lists, so a token moved across a boundary makes another example.

    Raises:
        TypeError: an id is no whole number. Those of NumPy are: the same ids have one digest, whatever holds them.
    """
    return digest_of([list(map(operator.index, ids)) for ids in (prompt_ids, chosen_ids, rejected_ids)])


def context_digest(
    base: Digest,
    adapter: Digest | None,
    tokenizer: Digest,
    template: str,
    truncation: dict[str, Any] | None,
    measure: str,
) -> Digest:
    """Digest of what the log-probabilities depend on besides the example.

    Args:
        base: of the base weights.
        adapter: of the adapter the reference model wears, if any.
        tokenizer: of its files.
        template: the chat template's text.
        truncation: the limits in tokens and the side that is cut; None if nothing is.
        measure: how it was computed (number format, code revision); numbers of another measure aren't mixed in.

    Raises:
        UnstableValue: ``truncation`` holds what isn't text, a number, a list or a dict.
    """
    return digest_of(
        {
            "base": base,
            "adapter": adapter,
            "tokenizer": tokenizer,
            "template": template,
            "truncation": truncation,
            "measure": measure,
        }
    )


class ReferenceCache:
    """The kept pairs of one context.

    Args:
        root: the folder of all contexts; may be shared between machines.
        context: a ``context_digest``.
        noise: how far two measurements may lie apart, relative; ``NOISE_BF16`` where the model computes in bf16.

    ``problems`` collects, a sentence each, what was found and not trusted.
    """

    def __init__(self, root: Path, context: Digest, *, noise: float = NOISE) -> None:
        self.context = context
        self.folder = root / "reference" / context.removeprefix("sha256:")
        self.noise = noise
        self.problems: list[str] = []

    def read(self, examples: Collection[Digest]) -> dict[Digest, Pair]:
        """The pairs known of these examples; what isn't in the answer has to be computed.

        Raises:
            StoreError: the folder is there and can't be listed.
        """
        wanted = set(examples)
        known: dict[Digest, dict[Pair, str]] = {}  # to each pair a segment that has it
        for segment in self._segments():
            for example, pair in segment.pairs:
                if example in wanted:
                    known.setdefault(example, {}).setdefault(pair, segment.name)
        return {example: min(pairs) for example, pairs in known.items() if self._agree(example, pairs)}

    def write(self, entries: Mapping[Digest, Pair]) -> None:
        """Add these pairs as one segment, whole or not at all.

        Raises:
            StoreError: a value is no log-probability (the message names the example), or the folder can't be written.
        """
        checked: list[tuple[Digest, Pair]] = []
        for example, (chosen, rejected) in entries.items():
            try:
                checked.append((example, pair_of(chosen, rejected)))
            except ValueError as error:
                raise StoreError(
                    f"the reference log-probabilities of example {example} can't be kept: {error}",
                    do="find out why the reference model returns this; nothing of this batch was written",
                ) from error
        if checked:
            self._add(checked)

    def compact(self, max_segments: int = 64) -> None:
        """Merge all sound segments into one if there are more than ``max_segments``. No reader sees a difference.

        Contradicting pairs are carried over too: to drop one side, or both, would settle by housekeeping what a person
        has to find out. A segment with anything wrong in it stays where it is.

        Raises:
            StoreError: the folder can't be listed or written.
        """
        if len(self._names()) <= max_segments:
            return
        sound = [segment for segment in self._segments() if not segment.flaws]
        if len(sound) <= max_segments:
            return
        # nothing is deleted before the merged segment is on the disk under its name
        merged = self._add({entry for segment in sound for entry in segment.pairs})
        for segment in sound:
            if segment.name != merged:  # it is one of them where that one had all entries
                self._delete(segment.name)

    # ---- reading

    def _names(self) -> set[str]:
        try:
            return {name for name in os.listdir(self.folder) if name.endswith(".jsonl") and not name.startswith(".")}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise StoreError(
                f"the reference log-probabilities in {self.folder} can't be listed: {error.strerror or error}",
                do="fix permissions or the mount there",
            ) from error

    def _segments(self) -> list[Segment]:
        """All segments that can be trusted, in order of their names.

        A compaction may delete a segment between the listing and the reading, and a listing during which files come and
        go may lack both the deleted and the merged one. So the folder is listed until there is nothing new: the merged
        one was there before the first deletion, and read twice an entry does no harm.
        """
        tried: dict[str, Segment | None] = {}
        gone: set[str] = set()
        for _ in range(_ROUNDS):
            new = sorted(self._names() - tried.keys())
            if not new:
                break
            gone = set()
            for name in new:
                try:
                    tried[name] = self._load(name)
                except FileNotFoundError:
                    gone.add(name)
        else:
            if gone:
                # safe all the same: what wasn't seen is computed again
                self._note(f"the folder {self.folder} changed {_ROUNDS} times while it was read; not all of it was")
        return [segment for _, segment in sorted(tried.items()) if segment]

    def _load(self, name: str) -> Segment | None:
        """The segment, or None and a noted problem.

        Raises:
            FileNotFoundError: it is no longer there.
        """
        path = self.folder / name
        try:
            segment = parse(name, path.read_bytes(), self.context)
        except Damaged as damage:
            self._note(f"the segment {path} {damage}; none of it is used")
            return None
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == errno.ESTALE:  # what NFS says of a file that another machine deleted
                raise FileNotFoundError(str(path)) from error
            self._note(f"the segment {path} can't be read: {error.strerror or error}; none of it is used")
            return None
        for flaw in segment.flaws:
            self._note(f"the segment {path} has an entry that isn't used: {flaw}")
        return segment

    def _agree(self, example: Digest, pairs: Mapping[Pair, str]) -> bool:
        if all(close(values, self.noise) for values in zip(*pairs, strict=True)):
            return True
        # the furthest two by the part that disagrees most; which of them is right can't be told from here
        part = max((0, 1), key=lambda i: max(pair[i] for pair in pairs) - min(pair[i] for pair in pairs))
        low, high = (choose(pairs, key=operator.itemgetter(part)) for choose in (min, max))
        self._note(
            f"example {example} has values that differ by more than noise in {self.folder}: "
            f"{('chosen', 'rejected')[part]} is {low[part]} nats in {pairs[low]} and {high[part]} in {pairs[high]}; "
            "neither is used, and deleting the folder has all computed anew"
        )
        return False

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    # ---- writing

    def _add(self, entries: Iterable[tuple[Digest, Pair]]) -> str:
        """Write a segment of these entries; its name."""
        lines = [
            {"example": example, "chosen": chosen, "rejected": rejected}
            for example, (chosen, rejected) in sorted(entries)  # so the same entries are the same file
        ]
        data = dump_lines([{"version": VERSION, "context": self.context, "entries": len(lines)}, *lines])
        target = self.folder / (digest_bytes(data).removeprefix("sha256:") + ".jsonl")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clean()
            _write_whole(target, data)
        except OSError as error:
            raise StoreError(
                f"the reference log-probabilities can't be written to {target}: {error.strerror or error}",
                do="free space or fix permissions there, or set NIGHTSHIFT_HOME to another disk; "
                "nothing half-written remains",
            ) from error
        return target.name

    def _clean(self) -> None:
        """Delete the temporary files of writers that were killed."""
        for path in self.folder.iterdir():
            # another machine may clean at the same time, and what another user left is theirs
            with contextlib.suppress(FileNotFoundError, PermissionError):
                if path.name.startswith(_WRITING) and time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()

    def _delete(self, name: str) -> None:
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:  # no loss: it agrees with the merged one
            self._note(
                f"the segment {self.folder / name} is merged and can't be deleted: {error.strerror or error}; "
                "it only takes room"
            )


def _write_whole(target: Path, data: bytes) -> None:
    """Make ``target`` through a temporary file beside it: whole on the disk before it has its name, or not there.

    Raises:
        OSError: as the disk says; the temporary file is gone.
    """
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=_WRITING)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.chmod(0o444)  # mkstemp lets only its owner read
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    # some shared file systems can't flush a folder; the file is there all the same
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
