"""Rollouts whose loss is ours and not TRL's, shared by PPO and online DPO: scores, padding, reference, what is told."""

import contextlib
from typing import Any

import torch
from trl import GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from tasks.align.online.base import Online

Drawn = dict[str, torch.Tensor]


class OwnRollouts(Online, GRPOTrainer):
    """``args.beta`` has to be above 0, or TRL makes no reference."""

    def _scores(self, inputs: Any, prompts: list[Any], answers: list[Any], answer_ids: Any) -> torch.Tensor:
        """(answers,): the weighted sum of the rewards. What is told has TRL's names."""
        found = self._calculate_rewards(inputs, prompts, answers, answer_ids)
        for column, name in enumerate(self.reward_func_names):
            self._tell(f"rewards/{name}/mean", found[:, column].mean().item())
        scores = (found * self.reward_weights.to(found.device)).sum(1)
        groups = scores.view(-1, self.num_generations)
        self._tell("reward", scores.mean().item())
        self._tell("reward_std", scores.std().item())
        self._tell("frac_reward_zero_std", (groups == groups[:, :1]).all(1).float().mean().item())
        return scores

    def _padded(self, prompt_ids: list[list[int]], answer_ids: list[list[int]]) -> Drawn:
        """Prompts padded on the left, answers on the right, as TRL's log-probabilities expect them."""
        device, pad = self.accelerator.device, self._tokenizer.pad_token_id
        before, behind = max(map(len, prompt_ids)), max(map(len, answer_ids))
        left = [[pad] * (before - len(ids)) + list(ids) for ids in prompt_ids]
        right = [list(ids) + [pad] * (behind - len(ids)) for ids in answer_ids]
        seen = [[0] * (before - len(ids)) + [1] * len(ids) for ids in prompt_ids]
        drawn = [[1] * len(ids) + [0] * (behind - len(ids)) for ids in answer_ids]
        names = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        return {
            name: torch.tensor(rows, device=device)
            for name, rows in zip(names, (left, seen, right, drawn), strict=True)
        }

    def _reference(self, drawn: Drawn) -> torch.Tensor:
        """The tokens' log-probabilities under the reference: the base without its adapter, or a model of its own."""
        ids, mask, count = self._joined(drawn)
        size = self.args.per_device_train_batch_size
        model: Any = self.ref_model or self.accelerator.unwrap_model(self.model)
        without = contextlib.nullcontext() if self.ref_model is not None else model.disable_adapter()
        with without:
            return self._get_per_token_logps_and_entropies(model, ids, mask, count, batch_size=size)[0]

    def _joined(self, drawn: Drawn) -> tuple[torch.Tensor, torch.Tensor, int]:
        ids = torch.cat([drawn["prompt_ids"], drawn["completion_ids"]], 1)
        return ids, torch.cat([drawn["prompt_mask"], drawn["completion_mask"]], 1), drawn["completion_ids"].shape[1]

    def _tell(self, name: str, number: float) -> None:
        self._metrics["train"][name].append(number)
