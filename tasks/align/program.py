"""Program: train one phase with TRL. ``python -m tasks.align.program SPEC RESULT``, by torchrun on several devices.

Spec: {base, pairs, out, seed, threads, steps, phase, max_tokens, shard, checkpoints, context, cache, cache_context};
``held_out``, rows that a method which learns from rewards is watched on; ``reward_model``, a folder, where "model" is
one of the phase's rewards; ``stack_on``, the adapter that is merged into ``base`` already: what is written is the sum
of both; and ``first`` where only so many of its steps are to be taken, to be compared with another machine's: no model
is kept.
Writes the adapter (or the whole model) to ``out`` and a result with the metrics by step; sends one event a step. Method
"reward" leaves ``out/reward_model`` and its report as the result's ``reward`` instead; method "reject" leaves
``out/drawn.jsonl``, too, and its counts as ``drawn``. Killed at any step and started again with the same spec, it goes
on from its last checkpoint and ends with the same bytes.
What ends it early is one event ``stopped`` with a kind (``tasks.align.outcome``). Imports neither Prefect nor MLflow.
"""

import functools
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from infra.events import die_with_parent, emit
from infra.jsonl import load_lines
from infra.settings import launched_processes
from tasks.align import checkpoints
from tasks.align.facts import facts_of
from tasks.align.faults import explain_unwritable, is_io_error, out_of_memory, refuse_unwritable
from tasks.align.labels import prompt_of
from tasks.align.methods import Setting, build, quantisation
from tasks.align.online.watching import Watching, watches
from tasks.align.outcome import EXIT, stopped
from tasks.align.prepared import prepare
from tasks.align.probe import Probe
from tasks.align.reward_model import build as reward_model
from tasks.align.reward_model.report import figures_of, said_of
from tasks.align.signals import Asked, EndRequests
from tasks.align.stack import stack
from tasks.align.trainer import Interrupted, NightTrainer, NotFinite, asked_together
from tasks.align.watch import Unhealthy, Watch, most_memory
from tasks.errors import ModelError, NightshiftError, RewardError
from tasks.lm.adapter_files import order_targets
from tasks.lm.flops import Work, matmul_rate, model_sizes, training_flops, work_of
from tasks.lm.layout import Document
from tasks.lm.loading import best_device, load_tokenizer, use_threads
from tasks.lm.model_files import check_model_folder
from tasks.lm.reference_cache import ReferenceCache
from tasks.lm.reference_segment import NOISE, NOISE_BF16
from tasks.phases import METHODS


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    requests = EndRequests()
    spec = json.loads(Path(spec_path).read_text())
    run: Run | None = None
    try:
        run = Run(spec, requests)
        history = run.train()
    except Interrupted as ended:
        what = f"{requests.received} asked the training to end"
        stopped("interrupted", **_kept(spec), what="; ".join(filter(None, (what, str(ended)))))
    except Unhealthy as verdict:
        stopped("unhealthy", **_kept(spec), **verdict.stop.model_dump(exclude={"step"}))
    except NotFinite as found:
        stopped("not_finite", **_kept(spec), what=found.what, pairs=run.names(found.rows) if run else [])
    except NightshiftError as error:
        stopped("refused", what=error.what, do=error.do)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        stopped("out_of_memory", what=str(error).partition("\n")[0] or type(error).__name__)
    else:
        if run.trainer.accelerator.is_main_process:
            told = {"facts": facts_of(run.trainer, spec), **run.effort(), **run.told}
            result = {"history": history, "steps": run.steps, "peak_memory_bytes": most_memory(), **told}
            Path(result_path).write_text(json.dumps(result, allow_nan=False))
        return
    sys.exit(EXIT)


class Run:
    """One training: built, resumed where there is something to resume, and taken to its end."""

    def __init__(self, spec: dict[str, Any], requests: Asked) -> None:
        use_threads(spec["threads"])
        self.spec, self.requests = spec, requests
        self.folder = Path(spec["checkpoints"])
        self.found = checkpoints.newest(self.folder, spec["context"])
        refuse_unwritable(self.folder)
        self.phase, self.pairs, self.steps, self.held_out, self.told, said = prepare(spec, requests)
        self.last: int = min(spec.get("first", self.steps), self.steps)
        history = [dict(step) for step in self.found.history] if self.found else []
        self.watch = Watch(self.phase, self.last, self.folder, spec["context"], history, None)
        self.trainer = self._build()
        if said and self.trainer.accelerator.is_main_process:
            emit("log", text=said)

    def names(self, rows: list[int]) -> list[str]:
        """Ids of the pairs in these rows."""
        return [self.pairs[row]["id"] for row in rows]

    def effort(self) -> dict[str, float]:
        """Operations since the (last) start, as the plan counts them, and the seconds they took."""
        begun = self.found.step if self.found else 0
        if self.watch.work is not None:
            works, sizes = self.watch.work[begun:], self.watch.sizes
        else:
            before = self.watch.history[begun - 1].get("num_tokens", 0) if begun else 0
            tokens = self.watch.history[-1].get("num_tokens", 0) - before
            sizes = model_sizes(self.trainer.accelerator.unwrap_model(self.trainer.model))
            works = [Work(tokens, 0, tokens)]
        full, recomputed = self.phase.adapter == "full", self.phase.gradient_checkpointing
        flops = sum(training_flops(work, sizes, full=full, recomputed=recomputed) for work in works)
        return {"flops": float(flops), "seconds": self.watch.seconds}

    def train(self) -> list[dict[str, float]]:
        """Train to the end, save, and return the metrics by step."""
        if self.found:
            self._say_resumed()
        self._prepare_watch()
        try:
            self.trainer.train(resume_from_checkpoint=self.found.path if self.found else None)
        except (Interrupted, RewardError):  # no reward, no step: the model is as the last whole one left it
            self._keep_checkpoint()
            raise
        if self.requests() and self.trainer.state.global_step < self.last:
            raise Interrupted
        check_history(self.watch.history, self.last)
        if "first" not in self.spec:
            self._save()
        return self.watch.history

    def _build(self) -> Any:
        from transformers import set_seed

        # before adapter and heads are made: their first weights are drawn there, Trainer sets the seed only later
        set_seed(self.spec["seed"])
        device, dtype = best_device(full=self.phase.adapter == "full")
        check_model_folder(Path(self.spec["base"]))
        model = self._load(device, dtype)
        tokenizer = load_tokenizer(Path(self.spec["base"]))
        cache = None
        if METHODS[self.phase.method].packed:
            noise = NOISE if device == "cpu" else NOISE_BF16
            cache = ReferenceCache(Path(self.spec["cache"]), self.spec["cache_context"], noise=noise)
        began = time.monotonic()
        trainer = build(
            self.phase,
            Setting(
                model=model,
                tokenizer=tokenizer,
                pairs=self.pairs,
                arguments=self._arguments(device),
                callbacks=[self.watch],
                cache=cache,
                max_tokens=self.spec["max_tokens"],
                asked_to_end=self.requests,
                on_fill=_filling,
                reward_model=self.spec.get("reward_model"),
                held_out=tuple(self.held_out),
            ),
        )
        if not isinstance(trainer, NightTrainer):
            # NightTrainer asks by itself, between the parts of a step too
            self.watch.asked = functools.partial(asked_together, trainer.accelerator, self.requests)
        elif trainer.accelerator.is_main_process:
            emit(
                "log",
                text=f"reference: {len(self.pairs) - trainer.filled} of {len(self.pairs)} pairs were known; "
                f"ready after {time.monotonic() - began:.0f} s",
            )
            for problem in cache.problems[:5] if cache else ():
                emit("log", text=f"reference cache: {problem}")
        gc.collect()
        return trainer

    def _load(self, device: str, dtype: Any) -> Any:
        from transformers import AutoModelForCausalLM

        base = Path(self.spec["base"])
        if self.phase.method != "reward":
            quantised = quantisation(self.phase, device)
            return AutoModelForCausalLM.from_pretrained(
                base, dtype=dtype, quantization_config=quantised, trust_remote_code=False
            )
        if self.spec["shard"]:
            raise ModelError(
                "a reward model is trained with all of its weights in each process",
                do="set share_weights = false in the pool's block, or take a pool with larger devices",
            )
        return reward_model.load_classifier(base, dtype)

    def _arguments(self, device: str) -> dict[str, Any]:
        phase, world = self.phase, launched_processes()
        if phase.batch_size % world:
            raise ModelError(
                f"phase.batch_size {phase.batch_size} can't be shared by {world} processes",
                do=f"make it a multiple of {world}, or take fewer processes in the pool's block",
            )
        return {
            "output_dir": str(self.folder),
            "max_steps": self.steps,
            "per_device_train_batch_size": phase.batch_size // world,
            "learning_rate": phase.learning_rate,
            "warmup_steps": phase.warmup_steps,
            "lr_scheduler_type": "linear",
            "max_grad_norm": phase.max_grad_norm,
            # the pairs come in an order that the seed has chosen already; a resume finds its place by counting
            "train_sampling_strategy": "sequential",
            "bf16": device != "cpu",
            "use_cpu": device == "cpu",
            "gradient_checkpointing": phase.gradient_checkpointing,
            # FSDP2: each process holds a share of weights, gradients and optimizer, and gathers a layer at a time
            **({"fsdp": "full_shard", "fsdp_config": {"fsdp_version": 2}} if self.spec["shard"] else {}),
            "torch_compile": phase.compile,
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "steps",
            "save_steps": phase.checkpoint_every,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": self.spec["seed"],
            "data_seed": self.spec["seed"],
        }

    def _prepare_watch(self) -> None:
        trainer, watch, phase = self.trainer, self.watch, self.phase
        model = trainer.accelerator.unwrap_model(trainer.model)
        if isinstance(trainer, NightTrainer):
            rows: Any = trainer.train_dataset
            documents = [_document(row) for row in rows]
            size = phase.batch_size
            watch.work = [work_of(documents[step * size : (step + 1) * size]) for step in range(self.last)]
            watch.sizes = model_sizes(model)
            device = trainer.accelerator.device.type
            watch.rate = launched_processes() * matmul_rate(device, model.dtype)
        # sharded weights can't be sampled from outside the trainer
        if phase.probe_every and METHODS[phase.method].reference and not trainer.is_fsdp_enabled:
            prompts, seen = [prompt_of(pair) for pair in self.pairs[: phase.probe_prompts]], None
            if (held := self._held_out()) and watches(phase):
                # answers to prompts that no step trains on, as long as those that are rewarded
                watching = Watching(phase, held, phase.probe_prompts)
                prompts, seen = watching.prompts, watching.look
            most = phase.probe_tokens if seen is None else max(phase.probe_tokens, phase.max_new_tokens)
            watch.probe = Probe(model, trainer.processing_class, prompts, most, self.spec["seed"], seen)

    def _held_out(self) -> list[dict[str, Any]]:
        """Rows set apart from those that are trained on, of a method that learns from rewards."""
        path = self.spec.get("held_out")
        return load_lines(Path(path).read_bytes()) if path else []

    def _say_resumed(self) -> None:
        assert self.found is not None
        step, total = self.found.step, self.steps
        if hasattr(self.trainer, "_total_train_tokens") and self.found.history:
            self.trainer._total_train_tokens = self.found.history[-1].get("num_tokens", 0)
        if not self.trainer.accelerator.is_main_process:
            return
        emit("log", text=f"resumed at step {step} of {total} from {self.found.path}")
        for problem in self.found.damaged:
            emit("log", text=f"passed over {problem}")

    def _keep_checkpoint(self) -> None:
        """A sealed checkpoint of the last whole step, unless there is one already."""
        step = self.trainer.state.global_step
        if step == 0 or (self.folder / f"checkpoint-{step}" / "sealed.json").exists():
            return
        self.trainer._save_checkpoint(self.trainer.model_wrapped, trial=None)
        self.trainer.accelerator.wait_for_everyone()
        self.watch.seal(self.trainer.state)

    def _save(self) -> None:
        out = Path(self.spec["out"])
        try:
            if self.phase.method == "reward":
                return self._save_reward_model(out / reward_model.FOLDER)
            order_targets(self.trainer.accelerator.unwrap_model(self.trainer.model))
            self.trainer.save_model(str(out))
            # the Trainer leaves its arguments as a pickle, which no reader of a model may open
            (out / "training_args.bin").unlink(missing_ok=True)
            if self.trainer.accelerator.is_main_process:
                if self.phase.adapter == "full":
                    self.trainer.processing_class.save_pretrained(out)
                elif "stack_on" in self.spec:
                    stack(Path(self.spec["stack_on"]), out)
        except (OSError, RuntimeError, SafetensorError) as error:
            if not is_io_error(error):
                raise
            raise explain_unwritable(out, error) from error

    def _save_reward_model(self, out: Path) -> None:
        if not self.trainer.accelerator.is_main_process:
            return
        model, report = reward_model.measured(self.trainer, self.held_out, self.phase)
        reward_model.save(model, self.trainer.processing_class, report, out)
        self.told["reward"] = report.model_dump(mode="json")
        emit("log", text=said_of(report))
        emit("metrics", step=self.last, total=self.last, values=figures_of(report))


def check_history(history: list[dict[str, float]], steps: int) -> None:
    """A training that logged fewer steps than it was told to take has not done its work."""
    if len(history) != steps:
        raise ModelError(
            f"training logged {len(history)} of {steps} steps",
            do="read the program's output; fewer pairs than one batch?",
        )


def _kept(spec: dict[str, Any]) -> dict[str, Any]:
    """The step that a later start goes on from."""
    found = checkpoints.newest(Path(spec["checkpoints"]), spec["context"])
    return {"step": found.step if found else 0}


def _document(row: dict[str, Any]) -> Document:
    return Document(len(row["prompt_ids"]), (len(row["chosen_ids"]), len(row["rejected_ids"])))


def _filling(done: int, total: int) -> None:
    emit("progress", done=done, total=total, what="pairs' reference log-probabilities")


if __name__ == "__main__":
    main(*sys.argv[1:])
