"""What every training on its own answers shares here, whichever of TRL's trainers it is: put before it as a mixin.

Answers are drawn by ours; rewards are finite numbers or an error; a rollout in hand is kept with the checkpoint, so
that a killed training goes on to the same result; and each step says what its seconds went into.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from trl import GRPOTrainer, RLOOTrainer  # pyright: ignore[reportPrivateImportUsage]

from tasks.align.online import kept
from tasks.align.online.rollout import draw_answers
from tasks.align.rewards.caller import finite
from tasks.errors import ModelError, RewardError
from tasks.lm.packed import causal_lm
from tasks.lm.vllm_decoder import VllmDecoder

PARTS = ("rollout", "reward", "values", "update")  # of a step, as its seconds are told

_Trainer = GRPOTrainer if TYPE_CHECKING else object


class Online(_Trainer):
    """Before GRPOTrainer or RLOOTrainer.

    Args:
        vllm: tokens of the longest prompt with its answer, where vLLM is to draw; None: ours draws.

    Raises:
        ModelError: several processes, or steps that don't divide the rollout.
    """

    args: Any  # GRPOConfig or RLOOConfig

    def __init__(self, *args: Any, vllm: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._longest = vllm
        self._vllm: VllmDecoder | None = None
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._random: torch.Tensor | None = None  # the random numbers as they were after the last step
        if self.accelerator.num_processes > 1:
            raise ModelError(
                f"training on its own answers takes one process, and here are {self.accelerator.num_processes}",
                do="take one process in the pool's block, or a method that trains on pairs",
            )
        if self.args.steps_per_generation % self.args.gradient_accumulation_steps:
            raise ModelError(
                f"a rollout of {self.args.steps_per_generation} parts isn't made of steps of "
                f"{self.args.gradient_accumulation_steps}",
                do="make the rollout a multiple of the step",
            )

    # ---- a rollout ----------------------------------------------------------------------------------------------

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's hook for answers: ours reads each prompt once, and an answer that ended makes room for another. vLLM is
        asked by us and not by TRL, which has one seed for all answers: set, it makes a prompt's answers all equal."""
        number = self._step // (self.args.steps_per_generation * self.num_iterations)
        model = self.accelerator.unwrap_model(self.model)
        group, most = self.args.num_generations, self.args.max_completion_length
        seed = (self.args.seed << 32) + number
        with self._timed("rollout"):
            vllm = self._with_these_weights(model)
            drawn = draw_answers(model, prompt_ids, group, most, self.args.temperature, seed, vllm)
        return (drawn, None) if isinstance(self, GRPOTrainer) else drawn

    def _with_these_weights(self, model: Any) -> VllmDecoder | None:
        if self._longest is None:
            return None
        if self._vllm is None:
            self._vllm = VllmDecoder(Path(causal_lm(model).name_or_path), model, self._longest)
        else:
            self._vllm.take(model)
        return self._vllm

    def _calculate_rewards(self, inputs: Any, prompts: list[Any], completions: Any, completion_ids_list: Any) -> Any:
        """TRL's, (answers, rewards).

        Raises:
            RewardError: one is no finite number. TRL leaves a NaN out of the sum, as if it were 0.
        """
        with self._timed("reward"):
            found = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        for column, name in enumerate(self.reward_func_names):
            for prompt, score in zip(prompts, found[:, column].tolist(), strict=True):
                finite(name, prompt, score)
        return found

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        with self._timed("values"):  # what is neither drawing nor rewarding: log-probabilities, here and there
            return super()._generate_and_score_completions(inputs)

    # ---- a step -------------------------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        seen = self.state.num_input_tokens_seen
        try:
            return super()._prepare_inputs(generation_batch)
        except RewardError:
            # a checkpoint made now is to be the last whole step's: these answers will be drawn again, and the loop may
            # have taken random numbers for the next epoch
            self.state.num_input_tokens_seen = seen
            if self._random is not None:
                torch.set_rng_state(self._random)
            raise

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        with self._timed("update"):
            loss = super().training_step(model, inputs, num_items_in_batch)
        self._random = torch.get_rng_state()
        return loss

    # ---- what is told, and what is kept -------------------------------------------------------------------------

    @contextlib.contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        """Seconds of a part, without those of parts inside it."""
        inside, began = sum(self._seconds.values()), time.perf_counter()
        yield
        inside = sum(self._seconds.values()) - inside
        self._seconds[part] += time.perf_counter() - began - inside

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # of a step; the last log is of the whole training
            self._metrics["train"].pop("step_time", None)  # the parts' seconds say it
            logs |= {f"seconds/{part}": self._seconds[part] for part in PARTS}
            # TRL tells it with a rollout only, which a step of a later epoch has none of
            logs["num_tokens"] = self.state.num_input_tokens_seen
            self._seconds.clear()
        super().log(logs, start_time)

    def _own(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """What a method keeps beside the policy and its rollout: tensors and numbers."""
        return {}, {}

    def _take_own(self, tensors: dict[str, torch.Tensor], numbers: dict[str, float]) -> None:
        """Takes back what ``_own`` gave."""

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        rollout: Any = self._buffered_inputs or []
        tensors, numbers = self._own()
        kept.write(folder, kept.Kept(tensors, numbers, rollout, self._step))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        found = kept.read(Path(resume_from_checkpoint), self.accelerator.device)
        self._take_own(found.tensors, found.numbers)
        rollout: Any = found.rollout
        self._buffered_inputs, self._step = rollout or None, found.done


class NightGRPO(Online, GRPOTrainer):
    """GRPO (arXiv 2402.03300), all but the drawing of answers TRL's."""


class NightRLOO(Online, RLOOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
    """RLOO (arXiv 2402.14740), all but the drawing of answers TRL's."""
