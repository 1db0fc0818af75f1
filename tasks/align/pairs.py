"""Which pairs a phase trains on: as many as its steps take, in an order the seed decides."""

import random

from infra.jsonl import dump_lines, load_lines


def choose(lines: bytes, count: int, seed: int, left_out: frozenset[str] = frozenset()) -> bytes:
    """``count`` distinct pairs as JSON lines (fewer where there are fewer), none of ``left_out`` (ids)."""
    pairs = [pair for pair in load_lines(lines) if pair["id"] not in left_out]
    return dump_lines(random.Random(seed).sample(pairs, min(count, len(pairs))))
