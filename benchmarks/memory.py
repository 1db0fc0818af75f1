"""Peak memory of DPO training against the plan's forecast (tasks/plan/memory.py), by model size, adapter and tokens.

    python benchmarks/memory.py             # on a CPU: peak resident memory of a process
    python benchmarks/memory.py --new       # the six cases that no constant was chosen by
    python benchmarks/memory.py --shapes 1b # on a GPU: peak of PyTorch's allocator
    python benchmarks/memory.py --recorded  # measures nothing: forecasts against results/memory.toml

Every case is a process of its own: random weights of the named shape, pairs of exactly so many tokens, one or two of
them a step, three steps. The last line is one JSON object; ``off`` is forecast over measured, less 1.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.settings import apply_environment, load_settings  # noqa: E402

SHAPES: dict[str, dict[str, Any]] = {
    "30m": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6,
            "num_key_value_heads": 2, "vocab_size": 32000, "tie_word_embeddings": True},
    "135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
             "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True},
    "40m": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 10, "num_attention_heads": 8,
            "num_key_value_heads": 8, "vocab_size": 16000, "tie_word_embeddings": True},
    "106m": {"hidden_size": 640, "intermediate_size": 1728, "num_hidden_layers": 20, "num_attention_heads": 10,
             "num_key_value_heads": 5, "vocab_size": 24000, "tie_word_embeddings": True},
    "360m": {"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15,
             "num_key_value_heads": 5, "vocab_size": 49152, "tie_word_embeddings": True},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "tie_word_embeddings": True},
}  # fmt: skip
# shape, adapter, tokens of a pair, recomputed, parts of a step: two where a gradient or recomputation tells them apart
CASES = [
    ("30m", "lora", 500, False, 1), ("30m", "lora", 2000, False, 1), ("30m", "full", 1000, False, 2),
    ("135m", "lora", 250, False, 1), ("135m", "lora", 500, False, 1), ("135m", "lora", 1000, False, 1),
    ("135m", "lora", 2000, False, 1), ("135m", "lora", 2000, True, 2), ("135m", "full", 500, False, 2),
    ("135m", "full", 1000, False, 2), ("360m", "lora", 500, False, 1), ("360m", "lora", 1000, False, 1),
    ("360m", "full", 500, False, 2),
    ("1b", "lora", 4000, False, 1), ("1b", "full", 4000, False, 2), ("1b", "full", 16000, True, 2),
]  # fmt: skip
# of other shapes, at most 3 GB each: measured after the formulas were committed
NEW = [
    ("40m", "lora", 1500, False, 1), ("40m", "full", 1200, False, 2), ("40m", "full", 1200, False, 1),
    ("106m", "lora", 800, False, 1), ("106m", "lora", 2500, True, 2), ("106m", "full", 300, False, 2),
]  # fmt: skip


def main() -> None:
    apply_environment(load_settings())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", default=["30m", "135m", "360m"], choices=list(SHAPES))
    parser.add_argument("--new", action="store_true", help="the cases that no constant was chosen by")
    parser.add_argument("--recorded", action="store_true", help="measure nothing: compare with what was recorded")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        _measure(json.loads(arguments.case), Path(arguments.folder))
        return
    if arguments.recorded:
        from benchmarks.memory_recorded import show

        show()
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for case in NEW if arguments.new else CASES:
            if arguments.new or case[0] in arguments.shapes:
                found.append(_child(case, folder))
                print(found[-1], flush=True)
    worst = max(abs(one["off"]) for one in found)
    print(json.dumps({"cases": found, "worst": worst}))


def _child(case: tuple[str, str, int, bool, int], folder: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--case", json.dumps(case), "--folder", folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3000:])
    return _line(case, json.loads(done.stdout.splitlines()[-1]))


def _measure(case: tuple[str, str, int, bool, int], folder: Path) -> None:
    name, adapter, tokens, recompute, parts = case
    import torch
    from datasets import Dataset
    from transformers import LlamaForCausalLM
    from trl import DPOConfig  # pyright: ignore[reportPrivateImportUsage]

    from benchmarks.dpo import save_tokenizer
    from infra.digest import digest_of
    from tasks.align.methods import lora_config
    from tasks.align.trainer import NightTrainer
    from tasks.lm.reference_cache import ReferenceCache
    from tasks.phases import Phase

    class Tokens(NightTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:  # pyright: ignore
            return dataset

    cuda = torch.cuda.is_available()
    model_folder = folder / name
    if not model_folder.exists():  # in a process of its own: made here, it would count
        script = f"""
import json, torch
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(**json.loads({json.dumps(json.dumps(SHAPES[name]))}), max_position_embeddings=32768)
LlamaForCausalLM(config).save_pretrained({str(model_folder)!r})
"""
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        save_tokenizer(model_folder)
    dtype = torch.bfloat16 if cuda and adapter == "lora" else torch.float32
    model = LlamaForCausalLM.from_pretrained(model_folder, dtype=dtype)
    from transformers import AutoTokenizer

    numbers = random.Random(0)
    prompt, chosen = int(tokens * 0.45), int(tokens * 0.275)
    rows = [
        {
            "prompt_ids": [numbers.randrange(3, 9000) for _ in range(prompt)],
            "chosen_ids": [numbers.randrange(3, 9000) for _ in range(chosen)],
            "rejected_ids": [numbers.randrange(3, 9000) for _ in range(tokens - prompt - chosen)],
        }
        for _ in range(3 * parts)
    ]
    phase = Phase.model_validate({"max_steps": 3, "adapter": adapter, "gradient_checkpointing": recompute})
    trainer = Tokens(
        cache=ReferenceCache(folder / "cache", digest_of([name, adapter, tokens, recompute, parts])),
        max_tokens=tokens,
        model=model,
        args=DPOConfig(
            output_dir=str(folder / "out"),
            max_steps=3,
            per_device_train_batch_size=parts,  # two: the second's tensors beside the first's gradient
            use_cpu=not cuda,
            bf16=cuda,
            gradient_checkpointing=recompute,
            precompute_ref_log_probs=True,
            max_length=None,
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model_folder, trust_remote_code=False),
        peft_config=lora_config(phase),
    )
    assert trainer.packed
    trainer.train()
    measured = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1000
    parameters = sum(one.numel() for key, one in model.named_parameters() if "lora_" not in key)
    print(json.dumps({"measured": measured, "parameters": parameters, "accelerator": cuda}))


def _line(case: tuple[str, str, int, bool, int], found: dict[str, Any]) -> dict[str, Any]:
    """What was measured beside the forecast. Made here: the plan imports Prefect, which the training doesn't hold."""
    from tasks.phases import Phase
    from tasks.plan.facts import shape_of
    from tasks.plan.memory import Place, training_memory

    name, adapter, tokens, recompute, parts = case
    phase = Phase.model_validate({"max_steps": 3, "adapter": adapter, "gradient_checkpointing": recompute})
    shape, place = shape_of(SHAPES[name], found["parameters"]), Place(accelerator=found["accelerator"])
    memory = training_memory(shape, phase, tokens, place, cut=parts > 1)
    # PyTorch's allocator counts tensors: neither the program nor the holes among them
    forecast = memory.total - (memory.overhead if place.accelerator else 0)
    return {
        "shape": name,
        "adapter": adapter,
        "tokens": tokens,
        "recomputed": recompute,
        "parts": parts,
        "gb": round(found["measured"] / 1e9, 2),
        "forecast_gb": round(forecast / 1e9, 2),
        "off": round(forecast / found["measured"] - 1, 3),
    }


if __name__ == "__main__":
    main()
