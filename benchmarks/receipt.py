"""What rounding, and what faults make of a training's first steps on one CPU: a receipt's tolerances are from here.

    python benchmarks/receipt.py MODEL PAIRS [--steps 20 --batch 8 --rate 5e-3] [--fp32]

MODEL is a folder saved with `save_pretrained`, PAIRS a night's `pairs.jsonl` (HOME/work/align-*/). bf16, which CPUs
emulate, takes a large model hours: --fp32 leaves it out. The last line is one JSON object: by comparison and quantity,
the largest difference as a share of what its rounding grows with (`tasks.receipts.scale_of`), at step 1 and later.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from infra.digest import digest_of
from infra.jsonl import dump_lines, load_lines
from tasks.align import program
from tasks.align.facts import facts_of
from tasks.align.receipt import QUANTITIES, series_of
from tasks.receipts import Machine, Side, Subject, scale_of


class Never:
    received: str | None = None

    def __call__(self) -> bool:
        return False


def train(options: argparse.Namespace, *, dtype: torch.dtype = torch.float32, threads: int = 1, **changes: Any) -> Side:
    """The first steps of one variant; ``changes``: fields of the phase."""
    steps, any_ = options.steps, digest_of("the same in all")
    phase = {"batch_size": options.batch, "learning_rate": options.rate, "max_steps": 2 * steps} | changes
    tokens = phase.pop("max_tokens", 640)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        pairs = load_lines(options.pairs.read_bytes())[: steps * options.batch]
        (Path(folder) / "pairs.jsonl").write_bytes(dump_lines(pairs))
        spec = {
            "base": str(options.model), "pairs": f"{folder}/pairs.jsonl", "out": f"{folder}/out", "seed": 7,
            "threads": threads, "steps": 2 * steps, "first": steps, "phase": phase | {"probe_every": 0},
            "max_tokens": tokens, "shard": False, "cache": f"{folder}/references", "cache_context": any_,
            "context": any_, "checkpoints": f"{folder}/checkpoints",
        }  # fmt: skip
        before = program.best_device
        program.best_device = lambda *, full=False: ("cpu", dtype)
        try:
            run = program.Run(spec, Never())
            history, facts = run.train(), facts_of(run.trainer, spec)
        finally:
            program.best_device = before
    subject = Subject(
        model=any_, phase=any_, method="dpo", losses=("sigmoid",), beta=0.1, seed=7, pairs=any_, steps=steps,
        of=2 * steps, code=any_, libraries=(),
    )  # fmt: skip
    machine = Machine.model_validate(facts["machine"])
    return Side(
        pool="local", device="cpu", subject=subject, machine=machine, doctor=None, series=series_of(history, "local")
    )


def shares(one: Side, other: Side) -> dict[str, list[float]]:
    """By quantity: the share at step 1, and the largest later."""
    found = {}
    for name in QUANTITIES:
        pairs = list(zip(one.series[name], other.series[name], strict=True))
        share = [abs(a - b) / max(scale_of(name, (one, other), step), 1e-300) for step, (a, b) in enumerate(pairs)]
        found[name] = [share[0], max(share[1:])]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--fp32", action="store_true")
    options = parser.parse_args()
    bf16 = torch.bfloat16
    good = train(options)
    compared = {
        "1 thread, 2 threads": (good, {"threads": 2}),
        "packed, padded": (good, {"packing": False}),
        "whole, in parts": (good, {"max_tokens": 60}),
        "beta 10 % higher": (good, {"beta": 0.11}),
        "learning rate 10 % higher": (good, {"learning_rate": 1.1 * options.rate}),
    }
    if not options.fp32:
        rounded = train(options, dtype=bf16)
        compared |= {
            "fp32, bf16": (good, {"dtype": bf16}),
            "bf16: packed, padded": (rounded, {"dtype": bf16, "packing": False}),
            "bf16: whole, in parts": (rounded, {"dtype": bf16, "max_tokens": 60}),
        }
    found = {}
    for name, (one, changes) in compared.items():
        found[name] = shares(one, train(options, **changes))
        figures = "  ".join(f"{key} {first:.1e} {later:.1e}" for key, (first, later) in found[name].items())
        print(f"{name}: {figures}", file=sys.stderr)
    print(json.dumps({"model": options.model.name, "steps": options.steps, "shares": found}))


if __name__ == "__main__":
    main()
