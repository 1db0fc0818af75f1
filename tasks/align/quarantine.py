"""Pairs that a training can't be done with: left out from the next start on, until a person takes them back."""

from pathlib import Path

from infra.jsonl import dump_lines, load_lines
from tasks.errors import ModelError


def quarantine_file(home: Path) -> Path:
    """JSON lines of {id, reason, night}; take a line out, and the pair is trained on again."""
    return home / "quarantine" / "training.jsonl"


def read_quarantine(home: Path) -> frozenset[str]:
    """Ids of the pairs that are left out.

    Raises:
        ModelError: a line of the file is none of ours.
    """
    path = quarantine_file(home)
    if not path.is_file():
        return frozenset()
    try:
        return frozenset(record["id"] for record in load_lines(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:  # people edit this file
        raise ModelError(
            f"the quarantine {path} has a line that is no {{id, reason, night}}: {error}",
            do="mend the line, or take it out: its pair is then trained on again",
        ) from error


def send_to_quarantine(home: Path, pairs: list[str], reason: str, night: str) -> None:
    """Add these pairs, each once."""
    path = quarantine_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read_quarantine(home)
    fresh = [pair for pair in dict.fromkeys(pairs) if pair not in known]
    # an editor may have left the last line without its end
    cut = path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("ab") as file:
        file.write(b"\n" * cut + dump_lines({"id": pair, "reason": reason, "night": night} for pair in fresh))
