"""Which pairs a phase trains on: as many as its steps take, in an order the seed decides."""

import json
import random


def choose(lines: bytes, count: int, seed: int) -> list[str]:
    """``count`` distinct pairs as JSON lines (fewer where there are fewer)."""
    pairs = lines.decode().splitlines()
    order = random.Random(seed).sample(range(len(pairs)), min(count, len(pairs)))
    return [json.dumps(json.loads(pairs[i]), ensure_ascii=False) for i in order]
