"""Answers from vLLM, where it is installed: in this process, with the weights of a model that is loaded here.

vLLM gets the weights from us and never from a file, so that what answers is the model in hand: merged, put through a
quantisation, or in the middle of a training. Ours (tasks/lm/generate.py) needs nothing installed; vLLM's kernels and
paged cache are made for accelerators and many prompts, and take a second copy of the weights.
"""

import importlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra.settings import load_settings, make_room_for_vllm
from tasks.errors import EngineError, ModelError
from tasks.lm.decode import ends_of, numbers_of
from tasks.lm.packed import causal_lm
from tasks.lm.weights import merged_weights

SEQUENCES = 256  # answers decoded at a time, at most
CACHE_SHARE = 0.3  # of an accelerator's memory, for keys and values; the weights come on top
CPU_CACHE = 1 << 30  # bytes for keys and values on a CPU


class VllmDecoder:
    """vLLM over one architecture, with whatever weights it was given last.

    Args:
        folder: the base model, of which vLLM reads the configuration.
        model: what is to answer; its weights are taken at once.
        longest: tokens of the longest prompt with its answer.

    Raises:
        EngineError: vLLM isn't installed, doesn't know the architecture, or has no room.
    """

    def __init__(self, folder: Path, model: Any, longest: int) -> None:
        vllm = _import_vllm()
        self._longest = longest
        self._params = vllm.SamplingParams
        parameter = next(model.parameters())
        with _random_numbers_kept():
            try:
                self._llm = vllm.LLM(
                    model=str(folder),
                    skip_tokenizer_init=True,  # token ids in, token ids out
                    trust_remote_code=False,
                    load_format="dummy",
                    dtype=str(parameter.dtype).removeprefix("torch."),
                    max_model_len=longest,
                    max_num_seqs=SEQUENCES,
                    gpu_memory_utilization=CACHE_SHARE,  # what must be free; a model is there already
                    kv_cache_memory_bytes=_cache_bytes(model, longest, parameter.device),
                    enforce_eager=parameter.device.type == "cpu",  # compiling pays on accelerators only
                    disable_log_stats=True,
                )
            except (ValueError, RuntimeError) as error:
                raise EngineError(
                    f"vLLM doesn't start with {causal_lm(model).config.model_type!r} and {longest} tokens: {error}",
                    do='let ours draw the answers: take engine or rollouts = "vllm" out',
                ) from error
        self.take(model)

    def take(self, model: Any) -> None:
        """Answer with this model's weights from now on, its adapter merged; the model stays as it is to the bit."""
        with _random_numbers_kept():
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": merged_weights(model)})
            self._llm.reset_prefix_cache()  # keys and values of the weights before
        self._ends = sorted(ends_of(model))
        self._penalty: float = causal_lm(model).generation_config.repetition_penalty or 1.0

    def close(self) -> None:
        """Give back the memory; nothing can be asked afterwards."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        samples: int = 1,
    ) -> list[list[list[int]]]:
        """As ``tasks.lm.generate.generate`` of token ids: greedy under the model's repetition penalty, or drawn by
        random numbers of each answer's own. Which numbers these are is vLLM's: drawn answers are others than ours.

        Raises:
            ModelError: a prompt leaves no room for its answer.
        """
        over = max(map(len, prompts), default=0) + max_tokens - self._longest
        if over > 0:
            raise ModelError(
                f"a prompt with its answer of {max_tokens} tokens is {over} tokens longer than the {self._longest} "
                "that vLLM was started with",
                do="shorten the prompt or the answer, or take a model with a longer context",
            )
        greedy = temperature == 0
        drawn = 1 if greedy else samples
        shared: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "repetition_penalty": self._penalty if greedy else 1.0,
            "stop_token_ids": self._ends,
            "ignore_eos": True,  # of the tokenizer's end; the model's own are above
            "detokenize": False,
        }
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts for _ in range(drawn)]
        how = [
            self._params(**shared, seed=None if greedy else numbers_of(seed, number, prompt).getrandbits(31))
            for prompt in prompts
            for number in range(drawn)
        ]
        if not asked:
            return []
        with _random_numbers_kept():
            outputs = self._llm.generate(asked, how, use_tqdm=False)
        found = [list(output.outputs[0].token_ids) for output in outputs]
        return [found[begin : begin + drawn] * (samples // drawn) for begin in range(0, len(found), drawn)]


def _import_vllm() -> Any:
    make_room_for_vllm(load_settings())
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise EngineError(
            f"vLLM isn't installed where this runs ({error})",
            do='install it beside Nightshift there (docs/guides/vllm.md), or take engine or rollouts = "vllm" out',
        ) from error


def _cache_bytes(model: Any, longest: int, device: torch.device) -> int:
    """For the keys and values of as many answers as are decoded at a time, within what may be taken."""
    config = causal_lm(model).config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * width * next(model.parameters()).element_size()
    most = CPU_CACHE
    if device.type == "cuda":
        most = int(torch.cuda.get_device_properties(device).total_memory * CACHE_SHARE)
    rounded = -(-longest // 128) * 128  # vLLM hands out blocks of tokens
    return max(2 * token * rounded, min(most, SEQUENCES * token * rounded))


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """vLLM seeds every generator of the process when it starts; a training's are to go on as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if devices:
            torch.cuda.set_rng_state_all(devices)
