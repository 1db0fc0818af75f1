"""Program: one model's answers to many prompts. ``python -m tasks.lm.answer_program SPEC RESULT [NUMBER]``.

Spec: base, adapter (or null), quantise (or null), dtype, threads (or null), workers, answers (an ``AnswerStore``'s
folder), prompts (conversations), max_tokens, temperature, seed. Answers as it serves, and writes each answer as soon as
it has ended; what the folder holds already isn't asked again. Result: ``answered``, ``left_out``. With a NUMBER above 0
it is a further process that answers its share.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from infra.events import die_with_parent, emit
from tasks.lm.answer_store import AnswerStore, Said, key_of
from tasks.lm.generate import generate, prompt_ids
from tasks.lm.loading import best_device, use_device, use_threads
from tasks.lm.raw import longest_of
from tasks.lm.results import write_result
from tasks.lm.served import load_as_served


def main(spec_path: str, result_path: str, number: str = "0") -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    use_threads(spec["threads"])
    use_device(int(number))
    with _helpers(spec_path, spec["workers"] - 1 if number == "0" else 0) as others:
        write_result(result_path, partial(_answer, spec, int(number), others))


def _answer(spec: dict[str, Any], number: int, others: Sequence[subprocess.Popen[bytes]]) -> dict[str, Any]:
    """This process's share; the first then does what the others left, be it that one of them died."""
    store = AnswerStore(Path(spec["answers"]))
    prompts = {key_of(prompt): prompt for prompt in spec["prompts"]}
    keys = list(prompts)
    known = store.read()
    asking = _Asking(spec, store, len(keys))
    asking.ask({key: prompts[key] for key in keys[number :: spec["workers"]] if key not in known})
    if number == 0:
        for process in others:
            process.wait()
        known = store.read()
        asking.ask({key: prompts[key] for key in keys if key not in known})
        known = store.read()
    left_out = sum(1 for key in keys if key in known and known[key].why is not None)
    return {"answered": sum(1 for key in keys if key in known) - left_out, "left_out": left_out}


class _Asking:
    """The model, loaded when there is something to ask."""

    def __init__(self, spec: dict[str, Any], store: AnswerStore, total: int) -> None:
        self._spec, self._store, self._total = spec, store, total
        self._served: Any = None

    def ask(self, prompts: dict[str, Any]) -> None:
        if not prompts:
            return
        spec = self._spec
        if self._served is None:
            device, _ = best_device()
            adapter = Path(spec["adapter"]) if spec["adapter"] else None
            dtype = getattr(torch, spec["dtype"])
            self._served = load_as_served(Path(spec["base"]), adapter, dtype, device, spec["quantise"])
        model, tokenizer, _ = self._served
        room = longest_of(model.config, tokenizer) - spec["max_tokens"]
        ids = {key: prompt_ids(tokenizer, prompt) for key, prompt in prompts.items()}
        for key, tokens in ids.items():
            if not 0 < len(tokens) <= room:
                why = f"{len(tokens)} tokens: with an answer behind them the model takes 1 … {max(room, 0)}"
                self._store.add(key, Said("", False, why))
        fitting = [key for key, tokens in ids.items() if 0 < len(tokens) <= room]
        count = self._total - len(fitting)

        def done(place: int, answers: Sequence[Sequence[int]]) -> None:
            nonlocal count
            text = tokenizer.decode(list(answers[0]), skip_special_tokens=True).strip()
            self._store.add(fitting[place], Said(text, len(answers[0]) == spec["max_tokens"]))
            count += 1
            emit("progress", done=count, total=self._total, what="closed-book answers")

        generate(
            model,
            None,
            [ids[key] for key in fitting],
            spec["max_tokens"],
            temperature=spec["temperature"],
            seed=spec["seed"],
            done=done,
        )


@contextlib.contextmanager
def _helpers(spec: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Further processes on the same spec, numbered from 1; none outlives the block."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tasks.lm.answer_program", spec, f"{spec}.{number}", str(number)],
            stdin=subprocess.PIPE,
        )
        for number in range(1, count + 1)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
