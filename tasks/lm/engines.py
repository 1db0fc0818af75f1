"""What computes a gate's numbers, behind one interface: ours on this process's device, or vLLM where it is installed.

vLLM has never been run here: no accelerator was at hand. Its engine is written from vLLM's documentation (0.18 and
later) and tested against a simulated module of the same interface.
"""

import importlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from infra.digest import Record
from tasks.errors import ModelError
from tasks.lm import words
from tasks.lm.choices import ChoiceItem, batches, choice_logprobs, tokenize_item
from tasks.lm.decode import numbers_of
from tasks.lm.generate import TOKENS, Conversation, generate, prompt_ids
from tasks.lm.loading import load_tokenizer
from tasks.lm.packed import is_enabled

CHOICE_TOKENS = 2048  # a batch of choices; on a CPU any number from 500 is as fast


class EngineSettings(Record):
    """What an engine's numbers depend on beside model and items. Numbers of different settings aren't compared.

    ``forward``: ``packed``, ``own`` (the model's) or ``vllm``. ``tokens``: of a batch of choices; ``room``: for keys
    and values of answers. ``versions``: (library, version).
    """

    engine: str
    forward: str
    device: str
    dtype: str
    tokens: int
    room: int
    versions: tuple[tuple[str, str], ...]


class Engine(Protocol):
    """An engine with one model loaded."""

    @property
    def settings(self) -> EngineSettings: ...

    def choice_logprobs(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[tuple[float, int]]]:
        """For each item, a conversation and its choices, for each choice: its summed log-probability in nats, and how
        many tokens it has."""
        ...

    def generate(
        self,
        prompts: Sequence[Conversation],
        max_tokens: int,
        *,
        samples: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[list[list[int]]]:
        """For each prompt, for each sample: token ids, the end-of-turn token included."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """An answer's text, without special tokens."""
        ...

    def likeliest(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], count: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each answer, at each of its tokens, the likeliest words and their log-probabilities: (tokens, count)."""
        ...

    def logprobs_at(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], ids: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """For each answer, at each of its tokens, the log-probabilities of these words: (tokens, words)."""
        ...


class LocalEngine:
    """Ours: a model of transformers in this process, packed where it was switched (``packed.switch``)."""

    def __init__(self, model: Any, tokenizer: Any, *, tokens: int = CHOICE_TOKENS, room: int = TOKENS) -> None:
        self.model, self.tokenizer, self.tokens, self.room = model, tokenizer, tokens, room

    @property
    def settings(self) -> EngineSettings:
        parameter = next(self.model.parameters())
        return EngineSettings(
            engine="local",
            forward="packed" if is_enabled(self.model) else "own",
            device=parameter.device.type,
            dtype=str(parameter.dtype).removeprefix("torch."),
            tokens=self.tokens,
            room=self.room,
            versions=_versions("torch", "transformers"),
        )

    def choice_logprobs(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[tuple[float, int]]]:
        rows = _rows(self.tokenizer, items)
        return [
            [(float(choice.sum()), len(choice)) for choice in choices]
            for batch in batches(rows, self.tokens)
            for choices in choice_logprobs(self.model, [rows[place] for place in batch])
        ]

    def generate(
        self,
        prompts: Sequence[Conversation],
        max_tokens: int,
        *,
        samples: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[list[list[int]]]:
        how: dict[str, Any] = {"samples": samples, "temperature": temperature, "seed": seed, "tokens": self.room}
        return generate(self.model, self.tokenizer, prompts, max_tokens, **how)

    def decode(self, tokens: Sequence[int]) -> str:
        return _decode(self.tokenizer, tokens)

    def likeliest(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], count: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        found = words.likeliest(self.model, _answered(self.tokenizer, prompts, answers), count)
        return [(ids.numpy(), logprobs.numpy()) for ids, logprobs in found]

    def logprobs_at(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], ids: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        asked = [torch.from_numpy(np.asarray(one, np.int64)) for one in ids]
        found = words.logprobs_at(self.model, _answered(self.tokenizer, prompts, answers), asked)
        return [one.numpy() for one in found]


class VllmEngine:
    """vLLM with a merged model's folder. Not verified on a device; see the module's first lines.

    Choices are scored by the log-probabilities of prompt tokens, a request a choice; vLLM shares no prefixes between
    such requests. It can't give the log-probabilities of given words at given places, so it has no drift.

    Raises:
        ModelError: vLLM isn't installed.
    """

    def __init__(self, folder: Path, dtype: str = "auto", **options: Any) -> None:
        self.vllm = _import_vllm()
        self.tokenizer = load_tokenizer(folder)
        self.llm = self.vllm.LLM(model=str(folder), dtype=dtype, **options | {"trust_remote_code": False})
        self.dtype = dtype
        file = folder / "generation_config.json"
        self.generation: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}

    @property
    def settings(self) -> EngineSettings:
        # vLLM batches by itself, by what fits the device
        return EngineSettings(
            engine="vllm",
            forward="vllm",
            device="cuda",
            dtype=self.dtype,
            tokens=0,
            room=0,
            versions=_versions("torch", "transformers", "vllm"),
        )

    def choice_logprobs(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[tuple[float, int]]]:
        rows = _rows(self.tokenizer, items)
        how = self._sampling(max_tokens=1, temperature=0.0, prompt_logprobs=0)  # 0: of the tokens themselves
        asked = [(row.prompt, choice) for row in rows for choice in row.choices]
        outputs = iter(self._ask([[*prompt, *choice] for prompt, choice in asked], [how] * len(asked)))
        return [[_sum_of(next(outputs), len(row.prompt), choice) for choice in row.choices] for row in rows]

    def generate(
        self,
        prompts: Sequence[Conversation],
        max_tokens: int,
        *,
        samples: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[list[list[int]]]:
        ids = [prompt_ids(self.tokenizer, prompt) for prompt in prompts]
        drawn = samples if temperature > 0 else 1
        how = {"max_tokens": max_tokens, "temperature": temperature}
        if temperature == 0:
            how["repetition_penalty"] = self.generation.get("repetition_penalty") or 1.0
        rows = [prompt for prompt in ids for _ in range(drawn)]
        seeds = [numbers_of(seed, number, prompt).getrandbits(31) for prompt in ids for number in range(drawn)]
        outputs = self._ask(rows, [self._sampling(seed=one, **how) for one in seeds])
        found = [list(output.outputs[0].token_ids) for output in outputs]
        return [found[start : start + drawn] * (samples // drawn) for start in range(0, len(found), drawn)]

    def decode(self, tokens: Sequence[int]) -> str:
        return _decode(self.tokenizer, tokens)

    def likeliest(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], count: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        raise _no_words()

    def logprobs_at(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], ids: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        raise _no_words()

    def _sampling(self, **options: Any) -> Any:
        ends = self.generation.get("eos_token_id") or []
        return self.vllm.SamplingParams(
            stop_token_ids=ends if isinstance(ends, list) else [ends], detokenize=False, **options
        )

    def _ask(self, rows: Sequence[Sequence[int]], how: Sequence[Any]) -> Sequence[Any]:
        prompts = [{"prompt_token_ids": list(row)} for row in rows]
        return self.llm.generate(prompts, list(how), use_tqdm=False)


def _import_vllm() -> Any:
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise ModelError(
            f"the engine vllm isn't installed ({error})",
            do='install vllm on a machine with a GPU, or set gate.engine = "packed"',
        ) from error


def _no_words() -> ModelError:
    return ModelError(
        "the engine vllm can't give the log-probabilities of given words, which drift is measured with",
        do='leave the suite drift out, or set gate.engine = "packed"',
    )


def _sum_of(output: Any, prompt: int, choice: Sequence[int]) -> tuple[float, int]:
    """A choice's summed log-probability, from vLLM's of each place: token id → an object with ``logprob``."""
    places = output.prompt_logprobs[prompt:]
    return sum(float(known[token].logprob) for known, token in zip(places, choice, strict=True)), len(choice)


def _rows(tokenizer: Any, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[ChoiceItem]:
    return [tokenize_item(tokenizer, conversation, choices) for conversation, choices in items]


def _answered(
    tokenizer: Any, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]]
) -> list[tuple[Sequence[int], Sequence[int]]]:
    return [(prompt_ids(tokenizer, prompt), answer) for prompt, answer in zip(prompts, answers, strict=True)]


def _decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    return tokenizer.decode(list(tokens), skip_special_tokens=True).strip()


def _versions(*libraries: str) -> tuple[tuple[str, str], ...]:
    return tuple((library, _version(library)) for library in libraries)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
