"""Which pairs a phase trains on: as many as its steps take, in an order the seed decides."""

import random

from infra.jsonl import dump_lines, load_lines


def choose(lines: bytes, count: int, seed: int) -> bytes:
    """``count`` distinct pairs as JSON lines (fewer where there are fewer)."""
    pairs = load_lines(lines)
    return dump_lines(random.Random(seed).sample(pairs, min(count, len(pairs))))
