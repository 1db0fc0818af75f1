"""TRL's DPOTrainer, fed from the reference cache, in parts that fit the memory, interruptible between two of them."""

import contextlib
import functools
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer
from trl import DPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from infra.memory import giving_back
from tasks.align.batches import PER_PAIR, chosen_tokens, packed_lengths, padded_lengths, pairs_of, take
from tasks.align.budget import COUPLED, shares, split
from tasks.align.faults import explain_unwritable, is_io_error
from tasks.align.packed_forward import pack_forward
from tasks.errors import ModelError
from tasks.lm.reference_cache import ReferenceCache, example_digest

_FILL_WRITE_EVERY = 256  # pairs; a night killed while filling keeps what was filled


class Interrupted(Exception):
    """The training was asked to end; the model is as it was after the last whole step."""


class NotFinite(Exception):
    """Loss or gradient is NaN or infinite; ``rows`` are the pairs of the data set that make it so, alone."""

    def __init__(self, what: str, rows: list[int]) -> None:
        super().__init__(what)
        self.what, self.rows = what, rows


def asked_together(accelerator: Any, asked_to_end: Callable[[], bool]) -> bool:
    """Whether any process is to end: a signal reaches them at different times, and one alone would wait for ever."""
    asked = asked_to_end()
    if accelerator.num_processes == 1:
        return asked
    return bool(accelerator.reduce(torch.tensor([float(asked)], device=accelerator.device), "sum") > 0)


class NightTrainer(DPOTrainer):
    """A DPOTrainer whose reference log-probabilities come from a cache and whose steps fit a token budget.

    Args:
        cache: where reference log-probabilities are kept; None computes them by TRL's own precomputation.
        max_tokens: tokens that go through the model at once.
        packing: False keeps TRL's own forward.
        asked_to_end: whether the training should end now; asked between two parts of a step.
        on_fill: told (done, total) while the cache is filled.
    """

    def __init__(
        self,
        *args: Any,
        cache: ReferenceCache | None,
        max_tokens: int,
        packing: bool = True,
        asked_to_end: Callable[[], bool] = lambda: False,
        on_fill: Callable[[int, int], None] = lambda done, total: None,
        **kwargs: Any,
    ) -> None:
        self.cache, self.max_tokens, self.asked_to_end, self.on_fill = cache, max_tokens, asked_to_end, on_fill
        self.packing, self.packed, self.filled = packing, False, 0  # filled: pairs whose reference was computed
        self._batch: Any = None
        super().__init__(*args, **kwargs)
        self._pack()
        if self._whole_only() and self.accelerator.num_processes > 1:
            raise ModelError(
                f"the loss {', '.join(self.loss_types)} compares all pairs of a batch with each other; "
                f"{self.accelerator.num_processes} processes would each compare their own",
                do="take one process in the pool's block, or another loss",
            )
        if self._whole_only() and self.args.per_device_train_batch_size > 1:
            longest = sum(
                sorted(map(self._pair_length, self.train_dataset), reverse=True)[: self.args.train_batch_size]
            )
            if longest > max_tokens:
                raise ModelError(
                    f"the loss {', '.join(self.loss_types)} compares all pairs of a batch with each other: "
                    f"up to {longest} tokens at once, phase.max_tokens is {max_tokens}",
                    do="lower phase.batch_size, or raise phase.max_tokens where the memory allows",
                )

    def _pack(self) -> None:
        """Pack the policy, once TRL has put its fused head on it, and the reference model where there is one."""
        if not self.packing or self.packed:
            return
        extras = ("entropy", "mean_logits", "is_top1") + (("log_sum_sq_probs",) if self.use_weighting else ())
        # compared in the training's own number format: a kernel for another is a minute's work for the compiler (fp32
        # FlexAttention on an H200), and no step would use it
        with self.accelerator.autocast():
            self.packed = pack_forward(self.model, extras) is None
            # TRL has sharded a reference model already under FSDP: there its own forward computes the few references
            if self.packed and self.ref_model is not None and not self.is_fsdp_enabled:
                pack_forward(self.ref_model, ())

    def _whole_only(self) -> bool:
        return bool(COUPLED.intersection(self.loss_types))

    # ---- the reference ------------------------------------------------------------------------------------------

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """TRL's hook for precomputed references: read what is known, compute the rest, keep it."""
        self._pack()
        if self.cache is None:
            return super()._precompute_ref_logps(dataset, name, batch_size)
        digests = [example_digest(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) for row in dataset]
        known = self.cache.read(set(digests))
        self.accelerator.wait_for_everyone()  # nobody writes before all have read: they share the same list
        missing = {digest: index for index, digest in enumerate(digests) if digest not in known}
        self.filled = len(missing)
        self._fill(dataset, missing)
        self.accelerator.wait_for_everyone()
        if missing:
            known = self.cache.read(set(digests))
        lost = [digest for digest in digests if digest not in known]
        if lost:
            raise ModelError(
                f"the reference cache lost {len(lost)} of {len(digests)} entries that were just written",
                do=f"look at the disk and at these: {'; '.join(self.cache.problems[:3]) or 'no damage was found'}",
            )
        columns = zip(*(known[digest] for digest in digests), strict=True)
        for column, values in zip(PER_PAIR, columns, strict=True):
            dataset = dataset.add_column(column, list(values))
        return dataset

    def _fill(self, dataset: Any, missing: dict[str, int]) -> None:
        """Compute and write this process's share of the missing entries, longest pairs first."""
        assert self.cache is not None
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        rows = sorted(missing.items(), key=lambda item: (-self._pair_length(dataset[item[1]]), item[0]))[rank::world]
        lengths = [self._pair_length(dataset[index]) for _, index in rows]
        found: dict[str, tuple[float, float]] = {}
        done = 0
        model: Any = self.model
        was = model.training
        model.eval()
        for part in split(lengths, self.max_tokens):
            batch = self.data_collator([dataset[rows[i][1]] for i in part])
            batch = {key: value.to(self.accelerator.device) for key, value in batch.items()}
            chosen, rejected = self.compute_ref_log_probs(self.ref_model or model, batch)
            found |= {
                rows[i][0]: pair
                for i, pair in zip(part, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True)
            }
            done += len(part)
            if rank == 0:
                self.on_fill(done, len(rows))
            if len(found) >= _FILL_WRITE_EVERY:
                self.cache.write(found)
                found = {}
            if self.asked_to_end():
                self.cache.write(found)
                raise Interrupted
        self.cache.write(found)
        model.train(was)

    # ---- a step in parts ----------------------------------------------------------------------------------------

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        states = self._random_states()
        if self._asked():
            raise Interrupted
        self._batch = inputs = self._prepare_inputs(inputs)
        lengths = packed_lengths(inputs) if self.packed else padded_lengths(inputs)
        parts = [list(range(len(lengths)))]
        if not self._whole_only():
            parts = self._parts(lengths)
        model.train()
        weights, total, logged = self.loss_weights, torch.zeros((), device=self.accelerator.device), self._logged()
        try:
            for number, part in enumerate(parts):
                if self.accelerator.num_processes == 1 and self.asked_to_end():
                    self._set_random_states(states)  # the step will be taken again, with the numbers it began with
                    raise Interrupted
                batch = take(inputs, part)
                share = self._shares(batch, inputs)
                self.loss_weights = [weight * one for weight, one in zip(weights, share, strict=True)]
                last = number == len(parts) - 1
                long = sum(lengths[pair] for pair in part) > self.max_tokens
                with (
                    self._recomputing(model, long),
                    contextlib.nullcontext() if last else self.accelerator.no_sync(model),
                ):
                    with self.compute_loss_context_manager():
                        loss = self.compute_loss(model, batch)
                    self.accelerator.backward(loss)
                total += loss.detach()
        finally:
            self.loss_weights = weights
        self._merge_metrics(logged, [len(part) for part in parts])
        return total

    @contextlib.contextmanager
    def _recomputing(self, model: Any, long: bool) -> Iterator[None]:
        """Keep only the layers' inputs of a part that is one pair longer than ``max_tokens``: it can't be cut.

        So a few long pairs don't decide how much memory a training takes.
        """
        if not long and not self.args.gradient_checkpointing:
            yield
            return
        layers = [one for one in model.modules() if isinstance(one, GradientCheckpointingLayer)]
        before = [one.gradient_checkpointing for one in layers]
        if not self.args.gradient_checkpointing:
            again: Any = functools.partial(checkpoint, use_reentrant=False)
            for layer in layers:
                layer.gradient_checkpointing = True
                layer._gradient_checkpointing_func = again
        try:
            with giving_back() if self.accelerator.device.type == "cpu" else contextlib.nullcontext():
                yield
        finally:
            for layer, was in zip(layers, before, strict=True):
                layer.gradient_checkpointing = was

    def _asked(self) -> bool:
        return asked_together(self.accelerator, self.asked_to_end)

    def _random_states(self) -> tuple[Any, Any]:
        cuda = self.accelerator.device.type == "cuda"
        return torch.get_rng_state(), torch.cuda.get_rng_state() if cuda else None

    def _set_random_states(self, states: tuple[Any, Any]) -> None:
        torch.set_rng_state(states[0])
        if states[1] is not None:
            torch.cuda.set_rng_state(states[1])

    def _parts(self, lengths: list[int]) -> list[list[int]]:
        """The step's parts: of the same sizes in every process, because TRL gathers its metrics in each.

        Each process puts its pairs in order of length; the longest in each place decides, so that all parts fit.
        """
        if self.accelerator.num_processes == 1:
            return split(lengths, self.max_tokens)
        order = sorted(range(len(lengths)), key=lambda pair: -lengths[pair])
        mine = torch.tensor([lengths[pair] for pair in order], device=self.accelerator.device)
        all_lengths: Any = self.accelerator.gather(mine)
        longest = all_lengths.view(self.accelerator.num_processes, -1).amax(0).tolist()
        return [sorted(order[place] for place in part) for part in split(longest, self.max_tokens)]

    def _shares(self, part: Any, whole: Any) -> list[float]:
        """This part's share of the step, over all processes; gradients and losses are averaged over them later."""
        mine = torch.tensor([pairs_of(part), chosen_tokens(part)], dtype=torch.float32, device=self.accelerator.device)
        step = torch.tensor(
            [pairs_of(whole), chosen_tokens(whole)], dtype=torch.float32, device=self.accelerator.device
        )
        world = self.accelerator.num_processes
        pairs, tokens = (self.accelerator.reduce(step, "sum") / world).tolist() if world > 1 else step.tolist()
        return shares(self.loss_types, (float(mine[0]), pairs), (float(mine[1]), tokens))

    def _logged(self) -> dict[str, int]:
        return {key: len(values) for key, values in self._metrics["train"].items()}

    def _merge_metrics(self, before: dict[str, int], sizes: list[int]) -> None:
        """TRL averages what each call of its loss logged: make the parts' values one, weighed by their pairs."""
        for key, values in self._metrics["train"].items():
            fresh = values[before.get(key, 0) :]
            if len(fresh) == len(sizes) > 1:
                mean = sum(value * size for value, size in zip(fresh, sizes, strict=True)) / sum(sizes)
                values[before.get(key, 0) :] = [mean]

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            if not is_io_error(error):
                raise
            shutil.rmtree(folder, ignore_errors=True)  # half of it is worth nothing, and takes the space
            raise explain_unwritable(folder, error) from error

    # ---- what is not finite -------------------------------------------------------------------------------------

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # the last look before the optimizer spends the gradient. A loss that isn't finite shows in it, too, and after
        # the processes' gradients were averaged it shows in all of them, so that all trace it together
        norm: Any = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(float(norm)):
            raise NotFinite(f"the gradient norm is {float(norm)}", self._culprits())
        return norm

    def _culprits(self) -> list[int]:
        """Rows of the data set whose pair alone gives a loss or gradient that isn't finite."""
        count = pairs_of(self._batch)
        first = (self.state.global_step * self.accelerator.num_processes + self.accelerator.process_index) * count
        with self.accelerator.no_sync(self.model_wrapped):
            return [first + index for index in range(count) if not self._finite_alone(take(self._batch, [index]))]

    def _finite_alone(self, batch: Any) -> bool:
        model = self.accelerator.unwrap_model(self.model)
        model.zero_grad()
        loss = self._compute_loss(model, batch, False)
        loss.backward()
        grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        return bool(torch.isfinite(loss)) and all(bool(torch.isfinite(grad).all()) for grad in grads)

    def _pair_length(self, row: Any) -> int:
        prompt, chosen, rejected = (len(row[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
        return prompt + chosen + rejected if self.packed else 2 * (prompt + max(chosen, rejected))
