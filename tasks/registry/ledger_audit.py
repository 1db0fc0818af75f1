"""A recipe's ledger against the guard's journal: every move of `champion` and `anchor` was decided on, and by a line.

The ledger's line is written before the alias moves, so each move needs a line before it; a line without its move is
what a crash leaves.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from infra.ledger import TOLERANCE, Entry
from tasks.registry.findings import KEEP, Finding, quoted
from tasks.registry.state import Expected, ModelState, Move

CHAMPION_LINES = frozenset({"init", "promotion", "rollback"})


def ledger_findings(name: str, expected: Expected, ledger: Sequence[Entry]) -> Iterator[Finding]:
    """Where the two disagree about a move."""
    model, moves = expected.models.get(name, ModelState()), expected.moves.get(name, [])
    abandoned = {one.body.get("line") for one in ledger if one.kind == "abandoned"}
    champion = [one for one in ledger if one.kind in CHAMPION_LINES and "version" in one.body]
    lines = {
        "champion": [one for one in champion if one.seq not in abandoned],
        "anchor": [one for one in ledger if one.kind == "reanchor"],
    }
    for alias, candidates in lines.items():
        made = [one for one in moves if one.alias == alias]
        matched, without = _matched(model, made, candidates)
        for move in without:
            yield _move_without_line(name, move)
        yield from _line_without_move(name, alias, candidates, matched, model)
    for line in lines["champion"]:
        yield from _other_model(name, line, model)


def _matched(model: ModelState, moves: Sequence[Move], lines: Sequence[Entry]) -> tuple[int, list[Move]]:
    """How many lines the moves reach, in order, and the moves that no line before them speaks of."""
    reached, without = 0, []
    for move in moves:
        # init's has no line, one that moved nothing needs none, and one that a crash cut off is made again by its line
        if not move.sure or move.was in {None, move.to}:
            continue
        until = datetime.fromisoformat(move.line.at) + TOLERANCE
        before = (n for n in range(reached, len(lines)) if datetime.fromisoformat(lines[n].at) <= until)
        found = next((number for number in before if _speaks_of(lines[number], move, model)), None)
        if found is None:
            without.append(move)
        else:
            reached = found + 1
    return reached, without


def _speaks_of(line: Entry, move: Move, model: ModelState) -> bool:
    if line.kind != "reanchor":
        return str(line.body["version"]) == move.to
    version = model.versions.get(move.to)
    slot = version.tags.get("nightshift.model") if version else None
    return slot is None or line.body.get("new") in slot.values


def _move_without_line(name: str, move: Move) -> Finding:
    entry, user = move.line, move.line.body.get("user")
    return Finding(
        kind="ledger-journal",
        name=name,
        about=(move.alias, str(entry.seq), "no line"),
        what=f"{move.alias} of {name} moved from version {move.was} to {move.to} "
        f"(entry {entry.seq}, {user}, {entry.at}) "
        "without a line in the ledger: nobody promoted, rolled back or re-anchored",
        do=f"find out who used the service account; {KEEP}",
    )


def _line_without_move(
    name: str, alias: str, lines: Sequence[Entry], matched: int, model: ModelState
) -> Iterator[Finding]:
    """The last line only: an earlier one without its move was tried again, or given up, by those behind it."""
    if alias == "anchor" or matched >= len(lines):
        return
    line, now = lines[-1], model.aliases.get("champion")
    if now is None or str(line.body["version"]) in now.values:
        return
    there = " or ".join(quoted(one) for one in now.values)
    yield Finding(
        kind="ledger-journal",
        name=name,
        about=(alias, str(line.seq), "no move"),
        what=f"the ledger of {name} says {line.kind} of version {line.body['version']} (line {line.seq}, {line.at}), "
        f"and the journal never moved champion there; it is at version {there}",
        do="a crash stopped it before the alias moved: run it again",
        severity="warning",
    )


def _other_model(name: str, line: Entry, model: ModelState) -> Iterator[Finding]:
    version = model.versions.get(str(line.body["version"]))
    slot = version.tags.get("nightshift.model") if version else None
    said = line.body.get("model")
    if said and slot is not None and said not in slot.values:
        yield Finding(
            kind="ledger-journal",
            name=name,
            about=(str(line.seq), "model", str(said)),
            what=f"line {line.seq} of the ledger of {name} says that version {line.body['version']} is model {said}, "
            f"the journal says {slot.values[0]} (entry {slot.seq})",
            do=f"find out which of the two was written anew; {KEEP}",
        )
