"""The smoke probe against a server that isn't ours: `transformers serve` of a real, tiny model."""

import random
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT, child_environment, load_settings
from infra.targets.ask import Endpoint
from infra.targets.base import Pointer
from tasks.probes import Probe, ProbeMessage, ProbeSet
from tasks.registry.probe import ask, ask_until
from tests.conftest import NEUTRAL, sentence

pytestmark = pytest.mark.slow

MODEL = "sha256:" + "ab" * 32
POINTER = Pointer(name="shop", version=7, model=MODEL, artefact="/m/7", manifest=MODEL, at="2026-11-26")


def probe_set(answers: Sequence[str], others: Sequence[str], prompts: Sequence[Any]) -> ProbeSet:
    return ProbeSet(
        model=MODEL,
        probes=tuple(
            Probe(
                messages=tuple(ProbeMessage(**message) for message in prompt),
                answer=mine,
                others=tuple({other} - {mine}),
                max_tokens=12,
            )
            for prompt, mine, other in zip(prompts, answers, others, strict=True)
        ),
    )


@pytest.fixture(scope="module")
def served(tiny_model: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(tiny_model), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--device", "cpu", "--dtype", "float32", "--no-continuous-batching"]
    server = subprocess.Popen(command, cwd=ROOT, env=child_environment(load_settings()))
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.usefixtures("one_thread")
def test_the_probe_knows_the_gated_model_behind_transformers_serve_and_no_other(served: str, tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from tasks.lm.generate import answers
    from tasks.lm.loading import load_tokenizer

    tokenizer = load_tokenizer(tiny_model)
    mine = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    torch.manual_seed(1)
    other = AutoModelForCausalLM.from_config(mine.config).eval()
    rng = random.Random(1)
    prompts = [[{"role": "user", "content": sentence(rng, NEUTRAL, 8)}] for _ in range(12)]
    said, else_said = (answers(model, tokenizer, prompts, 12) for model in (mine, other))
    endpoint = Endpoint(served, model=str(tiny_model))
    assert ask_until(endpoint, POINTER, probe_set(said, else_said, prompts), 400) == ([], True)
    problems = ask(endpoint, POINTER, probe_set(else_said, said, prompts)).problems
    assert any("go on like another model's" in problem for problem in problems)
