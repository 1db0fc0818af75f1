"""Pairs that a training can't be done with: left out from the next start on, until a person takes them back."""

from pathlib import Path

from infra.jsonl import dump_lines, load_lines


def quarantine_file(home: Path) -> Path:
    """JSON lines of {id, reason, night}; take a line out, and the pair is trained on again."""
    return home / "quarantine" / "training.jsonl"


def read_quarantine(home: Path) -> frozenset[str]:
    """Ids of the pairs that are left out."""
    path = quarantine_file(home)
    return frozenset(record["id"] for record in load_lines(path.read_bytes())) if path.is_file() else frozenset()


def send_to_quarantine(home: Path, pairs: list[str], reason: str, night: str) -> None:
    """Add these pairs, each once."""
    path = quarantine_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = [pair for pair in pairs if pair not in read_quarantine(home)]
    with path.open("ab") as file:
        file.write(dump_lines({"id": pair, "reason": reason, "night": night} for pair in fresh))
