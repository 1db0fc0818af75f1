"""Answers to many prompts at once, greedy or sampled, from any causal LM of transformers.

Most are decoded in batches (tasks/lm/decode.py). One that keeps something else than keys and values, or whose
generation config asks for more than we know, answers prompt by prompt, by its own ``generate``.
"""

from collections.abc import Sequence
from typing import Any

import torch

from tasks.errors import ModelError
from tasks.lm.cache import layers_of
from tasks.lm.decode import Decoder, Done, How, ends_of, numbers_of
from tasks.lm.packed import causal_lm

TOKENS = 8192  # room for keys and values: rows × (longest prompt + longest answer)

Conversation = Sequence[dict[str, str]]

# what a generation config may hold that changes a greedy answer (beside a repetition penalty), and what changes nothing
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "bad_words_ids": (None,),
    "begin_suppress_tokens": (None,),
    "dola_layers": (None,),
    "exponential_decay_length_penalty": (None,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "guidance_scale": (None, 1),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "no_repeat_ngram_size": (None, 0),
    "num_beams": (None, 1),
    "penalty_alpha": (None, 0),
    "sequence_bias": (None,),
    "stop_strings": (None,),
    "suppress_tokens": (None,),
    "watermarking_config": (None,),
}


@torch.inference_mode()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Conversation | Sequence[int]],
    max_tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    samples: int = 1,
    tokens: int = TOKENS,
    done: Done | None = None,
) -> list[list[list[int]]]:
    """Answers as token ids, up to and including the token that ends a turn, at most ``max_tokens``.

    At temperature 0 the likeliest token is taken, under the repetition penalty of the model's generation config if it
    has one: what ``model.generate(do_sample=False)`` gives. Above, answers are drawn from softmax(logits / temperature)
    without cuts or penalties. A drawn answer depends on the seed, its prompt and its number among the prompt's samples,
    and not on what is generated beside it, but for the rounding of sums; equal prompts get equal answers.

    Args:
        model: a causal LM of transformers, or a PEFT model of one, in evaluation mode.
        tokenizer: renders conversations with its chat template; None where all prompts are token ids.
        prompts: conversations, or token ids.
        samples: answers a prompt; at temperature 0 they are equal.
        tokens: room for keys and values, in tokens of prompt and answer. A prompt's samples always fit.
        done: called with a prompt's place and its answers as soon as the last of these has ended.

    Returns:
        for each prompt, in their order, for each sample, token ids.

    Raises:
        ModelError: a prompt is empty, or ``max_tokens`` or ``samples`` isn't positive.
    """
    if max_tokens < 1 or samples < 1:
        raise ModelError(
            f"{samples} answers of at most {max_tokens} tokens can't be generated", do="ask for at least one of each"
        )
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    if [] in ids:
        raise ModelError(
            f"prompt {ids.index([])} is empty, and nothing predicts an answer's first token",
            do="leave it out, or use a chat template that opens the answer",
        )
    if not ids:
        return []
    how = How(max_tokens, temperature, seed, samples, done or (lambda place, answers: None))
    if why_not_batched(model) is not None:
        return _one_by_one(model, ids, how)
    return Decoder(model, ids, how, tokens).run()


def answers(model: Any, tokenizer: Any, prompts: Sequence[Conversation], max_tokens: int) -> list[str]:
    """One greedy answer per prompt, without special tokens."""
    found = generate(model, tokenizer, prompts, max_tokens)
    return [tokenizer.decode(answer, skip_special_tokens=True).strip() for (answer,) in found]


def sample(
    model: Any, tokenizer: Any, prompts: Sequence[Conversation], max_tokens: int
) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) as token ids, one answer a prompt, sampled from the model as it is (temperature 1, no cuts).

    An answer ends with its end-of-turn token, or at ``max_tokens``. The seed comes from torch's global random numbers.
    """
    seed = int(torch.randint(2**62, ()))
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    found = generate(model, None, ids, max_tokens, temperature=1.0, seed=seed)
    return [(prompt, answer) for prompt, (answer,) in zip(ids, found, strict=True)]


def prompt_ids(tokenizer: Any, prompt: Conversation | Sequence[int]) -> list[int]:
    """Token ids of a prompt, the chat template's opening of the answer included."""
    if not prompt or isinstance(prompt[0], int):
        return list(prompt)  # pyright: ignore[reportReturnType]
    text = tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def why_not_batched(model: Any) -> str | None:
    """Why prompts are answered one by one, by the model's own ``generate``; None where they are batched."""
    inner = causal_lm(model)
    config = inner.config.get_text_config(decoder=True)
    if layers_of(inner.config) is None:
        return f"its architecture {config.model_type!r} keeps more than keys and values"
    if getattr(model, "active_peft_config", None) is not None and model.active_peft_config.is_prompt_learning:
        return "its adapter is a learned prompt"
    if _rope_types(getattr(config, "rope_parameters", None)) & {"dynamic", "longrope"}:
        return "its rotary embedding depends on the longest row of a batch"
    for name, neutral in NEUTRAL.items():
        if getattr(inner.generation_config, name, None) not in neutral:
            return f"its generation config sets {name}"
    return None


def _rope_types(parameters: Any) -> set[str]:
    """The kinds of rotary embedding; some models have one a kind of layer."""
    if not isinstance(parameters, dict):
        return set()
    own = {parameters["rope_type"]} if "rope_type" in parameters else set()
    return own.union(*map(_rope_types, parameters.values()))


def _one_by_one(model: Any, ids: list[list[int]], how: How) -> list[list[list[int]]]:
    options: dict[str, Any] = {"do_sample": False}
    if how.temperature > 0:
        options = {"do_sample": True, "temperature": how.temperature, "top_k": 0, "top_p": 1.0}
    device = next(model.parameters()).device
    found = []
    for place, prompt in enumerate(ids):
        batch = torch.tensor([prompt], device=device)
        options |= {"attention_mask": torch.ones_like(batch), "pad_token_id": min(ends_of(model), default=0)}
        answers: list[list[int]] = []
        for number in range(how.samples):
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(numbers_of(how.seed, number, prompt).getrandbits(63))
                out = model.generate(input_ids=batch, max_new_tokens=how.max_tokens, **options)
            answers.append(out[0, len(prompt) :].tolist())
        found.append(answers)
        how.done(place, answers)
    return found
