"""A model as it serves: base and adapter merged, the merge checked, and quantised where the recipe says so.

The same steps as scoring takes (tasks/gate/scoring_engine.py), without a gate's items: the probe is a fixed set of
short dialogues. Needs torch, so it runs in programs.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from tasks.errors import ModelError
from tasks.lm import parity, words
from tasks.lm.generate import prompt_ids
from tasks.lm.loading import load_model, load_tokenizer
from tasks.lm.quantise import put_through

# what a question and an answer look like in several kinds of use; only that both forms see the same tokens counts
PROBES = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("My order has not arrived yet. What can I do?", "I am sorry about that. Please tell me your order number."),
    ("Add 17 and 25.", "17 + 25 = 42"),
    ("Write one line of Python that prints the numbers from 1 to 3.", "print(*range(1, 4))"),
    ("Wie spät ist es?", "Das kann ich leider nicht sehen."),
    ("Please say no more than three words about the sea.", "Wide, blue, restless."),
    ("why is it cold", "Warm air has moved away, and the sun stands low."),
    ("Return this as JSON: name Ada, age 36.", '{"name": "Ada", "age": 36}'),
)


class Served(NamedTuple):
    """``parity``: how far the merged model is from base and adapter; None without an adapter."""

    model: Any
    tokenizer: Any
    parity: parity.Parity | None


def load_as_served(
    base: Path, adapter: Path | None, dtype: torch.dtype, device: str, quantise: str | None = None
) -> Served:
    """Load a model in the form that serves.

    Args:
        quantise: GGUF type whose rounding the weights are put through; the merge is checked before.

    Raises:
        ModelError: the adapter is damaged or of another base, the merged model is another one than base and adapter,
            or its log-probabilities are not finite.
    """
    tokenizer = load_tokenizer(base)
    model = load_model(base, adapter, dtype, device)
    found = None
    if adapter is not None:
        before = probe(model, tokenizer)
        model = model.merge_and_unload()
        found = _compared(before, probe(model, tokenizer), dtype, f"the model of {base} and {adapter}")
    if quantise is not None:
        put_through(model, quantise)
    return Served(model, tokenizer, found)


def same_as(served: Served, written: Path, device: str) -> None:
    """Refuse a folder that doesn't load as the model that was written into it.

    Every weight must be equal bit for bit, and the model loaded from the folder must answer the probe alike. The
    served model is let go of in between, so that only one is held: it can't be used afterwards.

    Raises:
        ModelError: names the first weight that differs.
    """
    model, tokenizer, _ = served
    dtype = next(model.parameters()).dtype
    before = probe(model, tokenizer)
    first = first_difference(model.state_dict(), written)
    if first is not None:
        raise ModelError(
            f"the model written to {written} is not the merged one: {first}",
            do="check the disk, delete the folder, and try again",
        )
    model.to("meta")
    again = load_model(written, None, dtype, device)
    _compared(before, probe(again, load_tokenizer(written)), dtype, f"the model in {written}")


def first_difference(weights: dict[str, torch.Tensor], folder: Path) -> str | None:
    """What is wrong with the first written weight that isn't the model's, or None. One weight is held at a time.

    Of weights that share their memory (a tied embedding and head) one is written.
    """
    from safetensors import safe_open

    written: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                if name not in weights:
                    return f"{name} is no weight of it"
                if not same_bits(opened.get_tensor(name), weights[name].cpu()):
                    return f"{name} differs"
                written.add(name)
    places = {weights[name].data_ptr() for name in written}
    missing = sorted(name for name in weights.keys() - written if weights[name].data_ptr() not in places)
    return f"{missing[0]} is missing" if missing else None


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same bytes; NaN equals itself here, and 0.0 isn't -0.0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def probe(model: Any, tokenizer: Any) -> parity.Probe:
    """Log-probabilities and greedy words along the answers of ``PROBES``, by the model's own forward."""
    rows = [
        (prompt_ids(tokenizer, [{"role": "user", "content": question}]), _ids(tokenizer, answer))
        for question, answer in PROBES
    ]
    best = words.likeliest(model, rows, 1)
    right = words.logprobs_at(model, rows, [torch.tensor(answer)[:, None] for _, answer in rows])
    return parity.probe([(logprobs[:, 0], ids[:, 0]) for logprobs, (ids, _) in zip(right, best, strict=True)])


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _compared(before: parity.Probe, after: parity.Probe, dtype: torch.dtype, what: str) -> parity.Parity:
    found = parity.compare(before, after)
    if found is None:
        raise ModelError(
            f"{what} gives log-probabilities that are not finite", do="don't serve it: train it anew, or roll back"
        )
    parity.check(found, dtype)
    return found
