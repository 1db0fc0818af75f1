"""The frozen LM head, forward and backward: ours by tile size, and TRL's kernel, on the same hidden states.

    python benchmarks/lm_head.py

SmolLM2-135M sizes: 480 scored tokens, width 576, 49,152 words, fp32. Every variant runs in turn, several rounds; the
best of each is kept. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from trl.kernels import ChunkedLogProbFunction

from tasks.lm import head
from tasks.lm.head import EXTRAS, Shape, score_tokens

TILES = [(480, 49152), (128, 4096), (512, 4096), (512, 2048), (512, 1024), (512, 512)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    hidden, weight = torch.randn(480, 576, requires_grad=True), torch.randn(49152, 576) * 0.05
    targets = torch.randint(0, 49152, (480,))
    extras = EXTRAS[:3]

    def ours(tokens: int, words: int) -> torch.Tensor:
        head.TOKENS, head.WORDS = tokens, words
        return score_tokens(hidden, weight, None, targets, Shape(), extras).log_probs

    def trls() -> torch.Tensor:
        out = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, 32768, None, 1.0, ("log_probs", *extras))
        assert isinstance(out, tuple)
        return out[0]

    variants: dict[str, Callable[[], torch.Tensor]] = {
        f"{tokens}x{words}": (lambda tokens=tokens, words=words: ours(tokens, words)) for tokens, words in TILES
    }
    variants["trl"] = trls
    seconds = dict.fromkeys(variants, float("inf"))
    for _ in range(arguments.rounds):
        for name, run in variants.items():
            hidden.grad = None
            began = time.perf_counter()
            run().sum().backward()
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    default = "512x1024"
    result = {
        "threads": arguments.threads,
        "milliseconds": {name: round(1000 * value, 1) for name, value in seconds.items()},
        "ratio_trl": round(seconds["trl"] / seconds[default], 2),
        "ratio_untiled": round(seconds["480x49152"] / seconds[default], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
