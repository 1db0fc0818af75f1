"""The plan's memory forecast against recorded peaks (results/memory.toml); measures nothing.

    python benchmarks/memory.py --recorded

CPU runs are compared with the whole forecast. GPU figures are PyTorch's own, so the forecast's ``overhead`` is left
out. The configuration of those handed down is assumed in memory.toml, and forecasts for half and twice the assumed
batch stand beside; those measured by benchmarks/dpo.py are what they are.
``fit`` chooses PROGRAM and HOLES anew by least squares without the run that is held out, and forecasts that run.
"""

import functools
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dpo import _pairs
from benchmarks.memory import SHAPES
from tasks.phases import Phase
from tasks.plan.facts import shape_of
from tasks.plan.memory import HOLES, PROGRAM, Memory, Models, Place, Shape, training_memory

RECORDED = Path(__file__).resolve().parent / "results" / "memory.toml"
PAIRS = 8  # a step, assumed of the GPU figures
STEPS = 5
LARGE: dict[str, dict[str, Any]] = {
    "1b": SHAPES["1b"],
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256, "tie_word_embeddings": False},
    "1b-untied": SHAPES["1b"] | {"tie_word_embeddings": False},  # benchmarks/dpo.py's
}  # fmt: skip


def recorded() -> dict[str, Any]:
    return tomllib.loads(RECORDED.read_text())


@functools.cache
def shape(name: str) -> Shape:
    """The shape with its parameters, counted from the sizes of a Llama."""
    config = (SHAPES | LARGE)[name]
    bare = shape_of(config, 0)
    ends = bare.vocabulary * bare.hidden * (1 if config["tie_word_embeddings"] else 2)
    norms = (2 * bare.layers + 1) * bare.hidden
    return bare.model_copy(update={"parameters": bare.layers * bare.layer_parameters + ends + norms})


def phase(run: dict[str, Any]) -> Phase:
    return Phase.model_validate(
        {"max_steps": 3, "adapter": run["adapter"], "gradient_checkpointing": run.get("recomputed", False)}
    )


def on_cpu(run: dict[str, Any]) -> Memory:
    cut = run.get("parts", 2) > 1
    return training_memory(shape(run["shape"]), phase(run), run["tokens"], Place(accelerator=False), cut=cut)


def on_gpu(run: dict[str, Any], pairs: int | None = None) -> Memory:
    models = Models(reference=run["reference"], bf16=run["bf16"])
    tokens = largest_step(pairs or run.get("pairs", PAIRS), run.get("steps", STEPS), packed=run["packed"])
    return training_memory(shape(run["shape"]), phase(run), tokens, Place(accelerator=True), models, cut=False)


def largest_step(pairs: int, count: int = STEPS, *, packed: bool) -> int:
    """Tokens of the largest of so many steps of benchmarks/dpo.py's pairs; unpacked, rows are padded to the longest."""
    rows = _pairs(pairs * count, 1000)
    lengths = [tuple(len(row[part]) for part in ("prompt_ids", "chosen_ids", "rejected_ids")) for row in rows]
    steps = [lengths[begin : begin + pairs] for begin in range(0, len(lengths), pairs)]
    if packed:
        return max(sum(map(sum, step)) for step in steps)
    return max(2 * pairs * max(prompt + max(answers) for prompt, *answers in step) for step in steps)


def allocated(memory: Memory) -> int:
    """What PyTorch's allocator counts."""
    return memory.total - memory.overhead


def off(forecast: int, gb: float) -> float:
    return forecast / (gb * 1e9) - 1


def fitted(runs: list[dict[str, Any]], left_out: dict[str, Any]) -> tuple[float, float, float]:
    """PROGRAM and HOLES by least squares of the relative error without one run, and how far off that one then is."""
    rows, targets = zip(*(_linear(run) for run in runs if run != left_out), strict=True)
    (program, holes), *_ = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)
    (one, activations), target = _linear(left_out)
    return float(program), float(holes), float(program * one + holes * activations - target)


def _linear(run: dict[str, Any]) -> tuple[tuple[float, float], float]:
    """As shares of the measured peak: what PROGRAM and HOLES are multiplied by, and what they must add up to."""
    memory, peak = on_cpu(run), run["gb"] * 1e9
    counted = memory.total - memory.overhead - memory.activations
    return (1 / peak, memory.activations / peak), 1 - counted / peak


def show() -> None:
    data = recorded()
    runs = [("known", run) for run in data["known"]] + [("new", run) for run in data.get("new", [])]
    cpu = []
    for kind, run in runs:
        memory = on_cpu(run)
        cpu.append(
            run | {"kind": kind, "forecast_gb": _gb(memory.total), "off": round(off(memory.total, run["gb"]), 3)}
        )
        print(cpu[-1], flush=True)
    gpu = []
    for run in data["gpu"]:
        counts = (PAIRS // 2, PAIRS, 2 * PAIRS)
        forecasts = {str(pairs): _gb(allocated(on_gpu(run, pairs))) for pairs in counts}
        found = round(off(allocated(on_gpu(run)), run["gb"]), 3)
        held = allocated(on_gpu(run | {"reference": True}))
        line = {"name": run["name"], "gb": run["gb"], "forecast_gb_by_pairs": forecasts, "off": found}
        gpu.append(line | {"off_with_reference_held": round(off(held, run["gb"]), 3)})
        print(gpu[-1], {name: _gb(part) for name, part in on_gpu(run).parts().items()}, flush=True)
    measured = []
    for run in data["measured_gpu"]:
        forecast = allocated(on_gpu(run))
        line = {"name": run["name"], "gb": run["gb"], "forecast_gb": _gb(forecast)}
        measured.append(line | {"off": round(off(forecast, run["gb"]), 3)})
        print(measured[-1], {name: _gb(part) for name, part in on_gpu(run).parts().items()}, flush=True)
    known = data["known"]
    held_out = next(run for run in known if data["held_out"].items() <= run.items())
    program, holes, left = fitted(known, held_out)
    summary = {
        "cpu_worst": max(abs(run["off"]) for run in cpu),
        "new_worst": max((abs(run["off"]) for run in cpu if run["kind"] == "new"), default=None),
        "gpu": gpu,
        "measured_gpu": measured,
        "fit": {"PROGRAM": round(program / 1e9, 3), "HOLES": round(holes, 3), "held_out_off": round(left, 3),
                "used": {"PROGRAM": PROGRAM[False] / 1e9, "HOLES": HOLES[False]}},
    }  # fmt: skip
    print(json.dumps(summary))


def _gb(bytes_: float) -> float:
    return round(bytes_ / 1e9, 2)
