"""Pairs for benchmarks/validate.py: made from a seed, of a company's support chat in shape; about 1 KB a line."""

import json
import random
from pathlib import Path

# fmt: off
_WORDS = [
    "parcel", "order", "refund", "card", "address", "door", "delivery", "courier", "invoice", "account", "password",
    "device", "screen", "battery", "cable", "return", "label", "shop", "team", "morning", "evening", "Monday",
    "window", "colour", "size", "charge", "receipt", "bank", "transfer", "voucher", "code", "gift", "wrap", "paper",
    "box", "tape", "weight", "scale", "tracking", "number", "update", "status", "late", "early", "lost", "found",
    "damaged", "broken", "repair", "spare", "part", "manual", "guide", "page", "step", "button", "light", "red",
    "green", "blue", "sound", "quiet", "loud", "warm", "cold", "clean", "wash", "dry", "fold", "store", "shelf",
    "lamp", "chair", "table", "please", "thank", "sorry", "could", "would", "should", "might", "will", "can", "may",
    "help", "look", "check", "send", "write", "call", "ask", "tell", "show", "give", "take", "bring", "and", "or",
    "but", "because", "when", "while", "after", "before", "if", "so", "then", "there", "here", "this", "that",
    "those", "these", "every", "some", "any", "each", "with", "without",
]
# fmt: on
SHARES = {"bad": 0.004, "duplicate": 0.01, "contradiction": 0.002, "email": 0.002, "card": 0.001, "equal": 0.001}


def write_pairs(path: Path, count: int, seed: int, first: int = 0) -> dict[str, int]:
    """Write ``count`` lines; returns how many of each kind of bad row were planted among them."""
    pick = random.Random(f"{seed}-{first}")
    planted = dict.fromkeys(SHARES, 0)
    last = _pair(pick, first)
    with path.open("w") as file:
        for number in range(first, first + count):
            row, chance, kind = _pair(pick, number), pick.random(), None
            for name, share in SHARES.items():
                if chance < share:
                    kind = name
                    break
                chance -= share
            line = json.dumps(_spoiled(row, last, kind), ensure_ascii=False)
            planted |= {kind: planted[kind] + 1} if kind else {}
            file.write((line[: len(line) // 2] if kind == "bad" else line) + "\n")
            last = row if kind is None else last
    return planted


def _pair(pick: random.Random, number: int) -> dict[str, object]:
    def text(low: int, high: int) -> str:
        return " ".join(pick.choices(_WORDS, k=pick.randint(low, high))) + "."

    return {
        "id": f"row-{number}",
        "prompt": [{"role": "user", "content": f"{text(20, 45)} Case {number}?"}],
        "chosen": [{"role": "assistant", "content": text(30, 70)}],
        "rejected": [{"role": "assistant", "content": text(30, 70)}],
        "timestamp": f"2026-11-{number % 25 + 1:02}T{number % 24:02}:00:00Z",
        "tenant": f"shop-{number % 7}",
    }


def _spoiled(row: dict[str, object], last: dict[str, object], kind: str | None) -> dict[str, object]:
    if kind == "duplicate":
        return {**last, "id": row["id"]}
    if kind == "contradiction":
        return {**last, "id": row["id"], "chosen": last["rejected"], "rejected": last["chosen"]}
    if kind in ("email", "card"):
        what = "ann.lee@mail.example" if kind == "email" else "4111 1111 1111 1111"
        return {**row, "chosen": [{"role": "assistant", "content": f"Write it down: {what}, and wait."}]}
    return {**row, "rejected": row["chosen"]} if kind == "equal" else row
