"""Moves of ``champion`` as the recipe's ledger tells them: written before they are made, finished by the manifest.

Pure, but for the one function that appends. A move is: line in the ledger, aliases, tags, manifest, in this order. What
a crash cut off is found by comparing the last line with the manifest, and is carried on without a second line.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from infra.ledger import Entry, append, ledger_path
from tasks.registry.manifest import Line, Manifest

Kind = Literal["promotion", "rollback"]


class Move(NamedTuple):
    """One move of ``champion`` from version ``was`` to ``version``."""

    kind: Kind
    version: int
    was: int
    by: str
    reason: str
    at: str  # ISO time, UTC
    line: Line
    left: tuple[int, ...] = ()  # of a rollback: versions that served since `version` did, and must not again


def moves_of(entries: Sequence[Entry]) -> list[Move]:
    """All moves that were begun and not abandoned, oldest first."""
    abandoned = {one.body["line"] for one in entries if one.kind == "abandoned"}
    return [_move(one) for one in entries if one.kind in get_args(Kind) and one.seq not in abandoned]


def _move(entry: Entry) -> Move:
    body = entry.body
    return Move(
        kind="promotion" if entry.kind == "promotion" else "rollback",
        version=body["version"],
        was=body["was"],
        by=body.get("by", ""),
        reason=body.get("reason", ""),
        at=entry.at,
        line=Line(seq=entry.seq, digest_=entry.digest),
        left=tuple(body.get("left", ())),
    )


def served(moves: Sequence[Move]) -> tuple[int, ...]:
    """Versions that a rollback can go back to, and the one that serves, oldest first.

    What was rolled back is gone from it: it must not serve again.
    """
    stack: list[int] = []
    for move in moves:
        if not stack:
            stack.append(move.was)
        if move.kind == "promotion":
            stack.append(move.version)
        elif move.version in stack:
            del stack[stack.index(move.version) + 1 :]
        else:
            stack = [move.version]
    return tuple(stack)


def unfinished(moves: Sequence[Move], manifest: Manifest | None) -> Move | None:
    """The last move, if a crash cut it off: the manifest, which is written last, doesn't know its line."""
    if not moves:
        return None
    known = manifest.ledger if manifest is not None else None
    return None if known == moves[-1].line else moves[-1]


def begin(
    home: Path, name: str, kind: Kind, to: int, was: int, tags: Mapping[str, str], by: str, reason: str = "",
    left: tuple[int, ...] = (),
) -> Move:  # fmt: skip
    """Write a move into the ledger, before it is made.

    Args:
        tags: of the version that shall serve.
    """
    body = {
        "version": to,
        "was": was,
        "night": tags.get("nightshift.night", ""),
        "model": tags.get("nightshift.model", ""),
        "by": by,
        "reason": reason,
        "left": list(left),
    }
    return _move(append(ledger_path(home, name), kind, body, datetime.now(UTC)))


def abandon(home: Path, name: str, move: Move, why: str) -> None:
    """Write that a move that was cut off before any alias moved isn't made after all."""
    append(ledger_path(home, name), "abandoned", {"line": move.line.seq, "why": why}, datetime.now(UTC))
