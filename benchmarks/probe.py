"""How surely the smoke probe knows a model: a finished night's candidate, served rightly, rounded, and wrongly.

    python benchmarks/probe.py HOME

HOME is the state folder of a night with [gate.drift], e.g. .nightshift after `make nightly`. Takes some minutes, most
of them for bf16, which CPUs emulate. The last line is one JSON object.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient

from infra.store import Blob, Store
from infra.targets.ask import Answer
from tasks.contracts import Evidence, Model
from tasks.gate.judge import read_reference
from tasks.gate.probe_set import COUNT
from tasks.gate.suites import Suite
from tasks.lm.generate import Conversation, generate
from tasks.lm.loading import load_model, load_tokenizer
from tasks.probes import Probe, ProbeMessage, ProbeSet
from tasks.registry.probe import compare, likeness

DRAWS = 2000
Prompts = Sequence[Conversation | Sequence[int]]


def evidence_of(home: Path, store: Store) -> Evidence:
    """Of the last version that a night registered."""
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    versions = [one for one in client.search_model_versions() if "nightshift.evidence" in one.tags]
    last = max(versions, key=lambda one: int(one.version))
    return Evidence.model_validate_json(store.read_bytes(Blob.model_validate_json(last.tags["nightshift.evidence"])))


def drift_suite(store: Store, digest: str) -> Suite:
    """The drift suite of that night: the night's suites lie in the store under a digest that only its steps know."""
    for path in sorted((store.root / "sha256").rglob("*")):
        if not path.is_file() or path.stat().st_size > 50 << 20 or path.read_bytes()[:1] != b"{":
            continue
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            continue  # JSON Lines
        if isinstance(found.get("drift"), dict) and "scorer" in found["drift"]:
            suite = Suite.model_validate(found["drift"])
            if suite.items_digest == digest:
                return suite
    raise SystemExit("the drift suite of this night isn't in the store")


def probes_of(evidence: Evidence, store: Store) -> list[Probe]:
    """Every drift prompt, with the candidate's answer and the champion's."""
    refs = {ref.role: ref for ref in evidence.cards if ref.suite == "drift"}
    suite = drift_suite(store, refs["candidate"].items)
    answers: dict[str, dict[str, str]] = {}
    for role in ("candidate", "champion"):
        card, problems = read_reference(refs[role], role, "drift", store)
        assert card is not None, problems
        answers[role] = {one.id: one.answers[0] for one in card.results}
    return [
        Probe(
            messages=tuple(ProbeMessage(role=one.role, content=one.content) for one in item.messages),
            answer=answers["candidate"][item.id],
            others=tuple({answers["champion"][item.id]} - {answers["candidate"][item.id]}),
            max_tokens=suite.scorer.max_tokens,
        )
        for item in suite.items
    ]


def measure(probes: Sequence[Probe], texts: Sequence[str], count: int = COUNT) -> dict[str, float]:
    """Over all prompts, and over draws of as many as a probe set has; ``refused``: the share that the rules refuse."""
    answered = [(probe, Answer(text, "")) for probe, text in zip(probes, texts, strict=True)]
    found = [likeness(*one) for one in answered]
    rng = random.Random(0)
    draws = [rng.sample(range(len(found)), min(count, len(found))) for _ in range(DRAWS)]
    shares = [sum(found[at].leading for at in draw) / len(draw) for draw in draws]
    votes = [sum(found[at].vote for at in draw) for draw in draws]
    refused = 0
    for draw in draws:
        asked = ProbeSet(model="sha256:" + "0" * 64, probes=tuple(answered[at][0] for at in draw))
        refused += bool(compare(asked, [answered[at][1] for at in draw]))
    return {
        "leading": round(sum(one.leading for one in found) / len(found), 3),
        "for": sum(one.vote == 1 for one in found),
        "against": sum(one.vote == -1 for one in found),
        "share_least": round(min(shares), 3),
        "share_most": round(max(shares), 3),
        "votes_least": min(votes),
        "votes_most": max(votes),
        "refused": refused / DRAWS,
    }


def loaded(model: Model, store: Store, folder: Path, *, adapter: bool) -> tuple[Any, Any]:
    """The model in fp32 as it serves, merged, and its tokenizer."""
    base = store.checkout(model.base, folder / "base")
    found = None if model.adapter is None or not adapter else store.checkout(model.adapter, folder / "adapter")
    made = load_model(base, found, torch.float32, "cpu")
    return (made.merge_and_unload() if found else made), load_tokenizer(base)


def main(home: Path) -> None:
    store = Store(home / "store")
    evidence = evidence_of(home, store)
    probes = probes_of(evidence, store)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        candidate, tokenizer = loaded(evidence.model, store, Path(folder), adapter=True)
        base, _ = loaded(evidence.model, store, Path(folder), adapter=False)

        def serve(name: str, model: Any, prompts: Prompts) -> None:
            tokens = generate(model, tokenizer, prompts, probes[0].max_tokens)
            texts = [tokenizer.decode(one[0], skip_special_tokens=True).strip() for one in tokens]
            results[name] = measure(probes, texts)
            print(f"{name:44}", *(f"{key} {value}" for key, value in results[name].items()), flush=True)

        def written(form: Callable[[str], str]) -> list[list[int]]:
            texts = [form(probe.messages[-1].content) for probe in probes]
            return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

        prompts = [probe.conversation for probe in probes]
        serve("the candidate, fp32", candidate, prompts)
        serve("the base model", base, prompts)
        serve("another chat template", candidate, written(lambda text: f"User: {text}\nAssistant:"))
        serve("no chat template", candidate, written(lambda text: text))
        for one in candidate.parameters():
            one.data = one.data.to(torch.bfloat16).to(torch.float32)
        serve("weights rounded to bf16", candidate, prompts)
        serve("all of it in bf16", candidate.to(torch.bfloat16), prompts)
    print(json.dumps({"prompts": len(probes), "differ": sum(bool(one.others) for one in probes), "served": results}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
