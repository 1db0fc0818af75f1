"""What watches a training: keeps the metrics by step, sends progress, seals checkpoints, stops an unhealthy run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from infra.digest import Digest
from infra.events import emit
from infra.memory import memory_in_use, peak_memory
from tasks.align import checkpoints
from tasks.align.health import Stop, judge_health
from tasks.align.probe import Probe
from tasks.lm.flops import Work, step_flops
from tasks.phases import Phase

KEEP = 2  # sealed checkpoints


class Unhealthy(Exception):
    """A stop condition fired."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.what)
        self.stop = stop


class Watch(TrainerCallback):
    """One a process. Every process judges the same gathered metrics, so all stop together; the first one speaks.

    Args:
        phase: with its limits.
        steps: that are taken: of the whole training, or the first of them.
        folder: where checkpoints lie, with ``context`` in their seals.
        history: metrics of the steps before a resume.
        work: of each step's batch over all processes, by step from 0; None where the method isn't packed.
        sizes: of the model (``tasks.lm.flops.model_sizes``), and ``rate``: matrix products of all devices together.
    """

    def __init__(
        self,
        phase: Phase,
        steps: int,
        folder: Path,
        context: Digest,
        history: list[dict[str, float]],
        work: list[Work] | None,
    ) -> None:
        self.phase, self.steps, self.folder, self.context = phase, steps, folder, context
        self.history, self.work = history, work
        self.sizes: dict[str, int] = {}
        self.rate = 0.0
        self.seconds = 0.0  # of the training loop, known when it is over
        self.probe: Probe | None = None
        self.asked: Callable[[], bool] = lambda: False
        self._begun = self._first = time.monotonic()
        self._before = len(history)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._first = time.monotonic()
        if state.is_world_process_zero and any(isinstance(one, DTensor) for one in model.parameters()):
            emit("log", text="the weights are shared among the processes (FSDP2)")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds = time.monotonic() - self._first

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begun = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= self.steps:
            control.should_training_stop = True
        elif self.asked():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        timed, told = _timed(_plain(logs))
        values = {"step": state.global_step, **told}
        speed = self._speed(state.global_step, time.monotonic() - self._begun) | timed
        if self.probe is not None and self._due(state.global_step):
            values |= self.probe.look()
        stop = judge_health([*self.history, values], self.phase.health, self.phase.beta)
        if stop is not None:
            raise Unhealthy(stop)
        self.history.append(values)
        if state.is_world_process_zero:
            shown = {key: value for key, value in values.items() if key != "step"}
            emit("metrics", step=state.global_step, total=self.steps, values=shown | speed)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # each process writes its own random state, and Trainer doesn't wait for them
        self.seal(state)

    def seal(self, state: Any) -> None:
        """Make the checkpoint of this step one that can be trusted, and drop the older ones."""
        if state.is_world_process_zero:
            checkpoints.seal(self.folder / f"checkpoint-{state.global_step}", self.context, self.history)
            checkpoints.prune(self.folder, KEEP)

    def _due(self, step: int) -> bool:
        every = self.phase.probe_every
        return every > 0 and (step % every == 0 or step == self.steps)

    def _speed(self, step: int, seconds: float) -> dict[str, float]:
        """Of the newest step; memory of this process; time left at the mean pace so far."""
        done = max(step - self._before, 1)
        left = (time.monotonic() - self._first) / done * (self.steps - step)
        found = {
            "pairs_per_second": self.phase.batch_size / seconds,
            "memory_gb": _memory() / 1e9,
            "seconds_left": left,
        }
        if self.work is not None:
            work = self.work[step - 1]
            found["tokens_per_second"] = work.tokens / seconds
            if self.rate > 0:
                flops = step_flops(work, **self.sizes, full=self.phase.adapter == "full")
                found["mfu"] = flops / seconds / self.rate
        return found


def _plain(logs: dict[str, Any]) -> dict[str, float]:
    return {key.replace("/", "_"): float(value) for key, value in logs.items() if isinstance(value, (int, float, str))}


def _timed(values: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """What a clock said, and the rest: the history of a training that was killed is that of one that wasn't."""
    timed = {key: value for key, value in values.items() if key.startswith("seconds_")}
    return timed, {key: value for key, value in values.items() if key not in timed}


def most_memory() -> int:
    """Bytes at the fullest moment so far: of the accelerator where there is one, else of the process."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory()


def _memory() -> int:
    """Bytes in use: of the accelerator where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return memory_in_use()
