"""Program: train one phase with TRL. ``accelerate launch -m tasks.align.program SPEC RESULT``.

Spec: {base, pairs, out, seed, threads, phase}. Writes the LoRA adapter to ``out`` and a result with the metrics by
step; sends one event a step. Imports neither Prefect nor MLflow.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from infra.events import die_with_parent, emit
from infra.jsonl import load_lines
from tasks.errors import ModelError
from tasks.lm.loading import best_device, load_tokenizer, use_threads
from tasks.recipe import Phase


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    use_threads(spec["threads"])
    phase = Phase.model_validate(spec["phase"])
    started = time.monotonic()
    trainer, history = build_trainer(spec, phase)
    emit(
        "log",
        text=f"training {phase.max_steps} steps on {len(trainer.train_dataset)} pairs, "
        f"setup took {time.monotonic() - started:.0f} s",
    )
    trainer.train()
    check_history(history, phase.max_steps)
    if trainer.accelerator.is_main_process:
        trainer.model.save_pretrained(spec["out"])
        Path(result_path).write_text(json.dumps({"history": history, "steps": phase.max_steps}, allow_nan=False))


def build_trainer(spec: dict[str, Any], phase: Phase) -> tuple[Any, list[dict[str, float]]]:
    """TRL's DPOTrainer with LoRA, and the list its metrics are appended to."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportPrivateImportUsage]

    device, dtype = best_device()
    pairs = load_lines(Path(spec["pairs"]).read_bytes())
    history: list[dict[str, float]] = []
    config = DPOConfig(
        output_dir=str(Path(spec["out"]).parent / "trainer"),
        max_steps=phase.max_steps,
        per_device_train_batch_size=phase.batch_size,
        learning_rate=phase.learning_rate,
        warmup_steps=phase.warmup_steps,
        lr_scheduler_type="linear",
        beta=phase.beta,
        loss_type=[phase.loss],
        max_length=None,  # validate bounded the tokens already; a silent cut would change the preference
        bf16=device != "cpu",
        use_cpu=device == "cpu",
        gradient_checkpointing=device != "cpu",  # recomputing costs a CPU time, and it has the memory
        precompute_ref_log_probs=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=spec["seed"],
        data_seed=spec["seed"],
    )
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(spec["base"], dtype=dtype, attn_implementation="sdpa"),
        args=config,
        train_dataset=Dataset.from_list(
            [{name: pair[name] for name in ("prompt", "chosen", "rejected")} for pair in pairs]
        ),
        processing_class=load_tokenizer(Path(spec["base"])),
        peft_config=LoraConfig(
            r=phase.lora.r,
            lora_alpha=phase.lora.alpha,
            lora_dropout=phase.lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[streaming_callback(phase.max_steps, history)],
    )
    return trainer, history


def streaming_callback(total: int, history: list[dict[str, float]]) -> Any:
    """A trainer callback that sends each step's metrics as an event and keeps them."""
    from transformers import TrainerCallback

    class Stream(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs or not state.is_world_process_zero:
                return
            metrics = {
                key.replace("/", "_"): float(value)
                for key, value in logs.items()
                if isinstance(value, (int, float, str))
            }
            broken = sorted(key for key, value in metrics.items() if not math.isfinite(value))
            if broken:
                raise ModelError(
                    f"training step {state.global_step}: {', '.join(broken)} is not finite",
                    do="lower phase.learning_rate, or look for odd pairs in this night's data",
                )
            history.append({"step": state.global_step, **metrics})
            emit("metrics", step=state.global_step, total=total, values=metrics)

    return Stream()


def check_history(history: list[dict[str, float]], steps: int) -> None:
    """A training that logged fewer steps than it was told to take has not done its work."""
    if len(history) != steps:
        raise ModelError(
            f"training logged {len(history)} of {steps} steps",
            do="read the program's output; fewer pairs than one batch?",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
