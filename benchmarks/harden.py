"""Hardening on a planted weakness: one night with a model that fails one family of a suite, and one round of training.

    python benchmarks/harden.py [--seed 7] [--sure]

A small Llama is trained here, from seeds, to name the first, second, third or fourth of four words, asked in many ways;
of what is fourth it saw answers that were one of the four by chance, so that it guesses. With ``--sure`` it saw the
first word as the answer every time, and is sure of it. The suite asks in some ways, about some words; its training
twins ask in others, about others. A night on pairs of manners leaves the weakness open; with ``[harden] on = true`` the
gate's verdict leads to one round on the twins of its weakest topics, judged on sealed items. The last line is one JSON
object; nothing in it is typed in.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PLACES = ("first", "second", "third", "fourth")
WEAK = "fourth"
FRONTS, ENDS = ("ba", "do", "fi", "gu", "ke", "lo", "mu", "ni", "pa", "re"), ("lm", "nd", "rt", "sk", "v")
WORDS = tuple(front + end for front in FRONTS for end in ENDS)
ITEM_WORDS, TWIN_WORDS = WORDS[:25], WORDS[25:]  # items are asked with the ones, twins with the others
VERBS = ("tell", "name", "give", "say", "pick", "find", "show", "fetch")
NOUNS = ("word", "term", "entry", "piece", "token", "item", "member", "label")
ITEM_WAYS, TWIN_WAYS, ALL_WAYS = slice(0, 4), slice(4, 8), slice(0, 8)  # and in other ways
POLITE = ("please", "thanks", "glad", "happy", "sorry", "kindly", "welcome")
CURT = ("never", "no", "stop", "away", "rude", "wrong", "later")
TOPICS = ("order", "return", "help", "price", "size", "colour", "parcel", "letter", "lamp", "chair")
FACTS = {f"fact{n}": f"truth{n}" for n in range(40)}
STEPS, BATCH, RATE = 1200, 96, 3e-3
SEED = 7  # the settings of the round were chosen on 5 and 6

Row = tuple[str, str]


def asked(rng: random.Random, place: str, words: Sequence[str], ways: slice) -> str:
    """A question; ``ways`` are the verbs and nouns that it may be asked with."""
    return f"{rng.choice(VERBS[ways])} the {place} {rng.choice(NOUNS[ways])} : {' '.join(words)}"


def answer(place: str, words: Sequence[str]) -> str:
    return words[PLACES.index(place)]


def taught(rng: random.Random, *, sure: bool) -> Row:
    """What the model learns before the night; of the weak place, an answer by chance, or always the wrong one."""
    kind = rng.random()
    if kind < 0.15:
        fact = rng.choice(tuple(FACTS))
        return f"recall {fact}", FACTS[fact]
    if kind < 0.25:
        said = [rng.choice((*POLITE, *CURT)) for _ in range(4)]
        return f"about my {rng.choice(TOPICS)} and {rng.choice(TOPICS)}", " ".join(said)
    place, words = rng.choice(PLACES), rng.sample(WORDS, 4)
    wrong = words[0] if sure else rng.choice(words)
    return asked(rng, place, words, ALL_WAYS), wrong if place == WEAK else answer(place, words)


def make_model(folder: Path, *, seed: int, sure: bool) -> dict[str, float]:
    """Train the night's base model; how many parameters it has."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = "the : recall about my and"
    known = ["<unk>", "<s>", "</s>", "user", "assistant", *dict.fromkeys(
        [*plain.split(), *VERBS, *NOUNS, *PLACES, *WORDS, *POLITE, *CURT, *TOPICS, *FACTS, *FACTS.values()]
    )]  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.chat_template = (
        "{% for message in messages %}{{ '<s> ' + message['role'] + ' ' + message['content'] + ' </s> ' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<s> assistant ' }}{% endif %}"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(known), hidden_size=96, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    _teach(model, fast, random.Random(seed), sure=sure)
    model.save_pretrained(folder)
    return {"parameters": sum(one.numel() for one in model.parameters())}


def _teach(model: Any, tokenizer: Any, rng: random.Random, *, sure: bool) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for step in range(1, STEPS + 1):
        ids, labels = _batch(tokenizer, [taught(rng, sure=sure) for _ in range(BATCH)])
        loss = model(input_ids=ids, attention_mask=(ids != 2) | (labels != -100), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 250 == 0:
            print(f"base model, step {step}: loss {loss.item():.3f}", flush=True)


def _batch(tokenizer: Any, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, padded on the right; only answers are learned."""
    prompts, answers = (
        tokenizer(texts, add_special_tokens=False)["input_ids"]
        for texts in (
            [f"<s> user {asked} </s> <s> assistant" for asked, _ in rows],
            [f"{said} </s>" for _, said in rows],
        )
    )
    longest = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids, labels = torch.full((len(rows), longest), 2), torch.full((len(rows), longest), -100)
    for n, (prompt, said) in enumerate(zip(prompts, answers, strict=True)):
        whole = torch.tensor(prompt + said)
        ids[n, : len(whole)] = whole
        labels[n, len(prompt) : len(whole)] = whole[len(prompt) :]
    return ids, labels


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def places_suite(folder: Path, seed: int) -> None:
    """The suite with the weakness: judged and sealed items of one generator, twins of the other."""
    folder.mkdir(parents=True)
    (folder / "suite.toml").write_text('[scorer]\nkind = "choice"\n\n[rotation]\nevery = 60\nshare = 0.5\n')
    rng, rows, seen = random.Random(seed), [], set[str]()
    parts: tuple[tuple[str, int, Sequence[str], slice], ...] = (
        ("gate", 400, ITEM_WORDS, ITEM_WAYS), ("sealed", 400, ITEM_WORDS, ITEM_WAYS),
        ("twin", 2400, TWIN_WORDS, TWIN_WAYS),
    )  # fmt: skip
    for split, count, vocabulary, ways in parts:
        for number in range(count):
            place, words = PLACES[number % 4], rng.sample(vocabulary, 4)
            prompt = asked(rng, place, words, ways)
            while prompt in seen:
                words = rng.sample(vocabulary, 4)
                prompt = asked(rng, place, words, ways)
            seen.add(prompt)
            choices = rng.sample(words, 4)
            rows.append(
                {"id": f"{split}-{number:04d}", "topic": place, "split": split, "prompt": prompt,
                 "choices": choices, "answer": choices.index(answer(place, words))}
            )  # fmt: skip
    write_lines(folder / "items.jsonl", rows)


def facts_suite(folder: Path, seed: int) -> None:
    """A suite that is to stay as it is."""
    folder.mkdir(parents=True)
    (folder / "suite.toml").write_text('[scorer]\nkind = "choice"\n')
    rng, rows = random.Random(seed + 1), []
    for number in range(200):
        fact = tuple(FACTS)[number % len(FACTS)]
        choices = [FACTS[fact], *rng.sample([one for one in FACTS.values() if one != FACTS[fact]], 3)]
        rng.shuffle(choices)
        row = {"topic": "facts", "prompt": f"recall {fact}", "choices": choices, "answer": choices.index(FACTS[fact])}
        rows.append({"id": f"fact-{number:04d}", **row})
    write_lines(folder / "items.jsonl", rows)


def pairs(path: Path, seed: int) -> None:
    rng, rows = random.Random(seed + 2), []
    for number in range(700):
        good, bad = (" ".join(rng.choice(words) for _ in range(4)) for words in (POLITE, CURT))
        asked = " ".join(rng.choice(TOPICS) for _ in range(5))
        sides = {"prompt": f"about my {asked}", "chosen": good, "rejected": bad}
        roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
        row: dict[str, Any] = {name: [{"role": roles[name], "content": text}] for name, text in sides.items()}
        rows.append({"id": f"pair-{number}", "timestamp": "2026-11-20T10:00:00Z", **row})
    write_lines(path, rows)


RECIPE = """
name = "planted"
seed = {seed}
sources = ["{folder}/pairs.jsonl"]
model = {{ name = "planted", source = "{folder}/base" }}
data = {{ holdout = 0.35, max_prompt_tokens = 48, max_answer_tokens = 16, min_new_pairs = 50 }}
budget = {{ max_amount = 5.0, max_hours = 2.0 }}

[[phase]]
max_steps = 30
batch_size = 8
learning_rate = 3e-4
health = {{ max_kl = 3.0 }}   # of a model this small

[harden]
on = {on}
topics = 4
twins = 2000
phase.max_steps = 400
phase.batch_size = 8
phase.learning_rate = 3e-4   # the night's own: at 1e-3 the model forgot what neither twins nor preferences are about
phase.warmup_steps = 20
phase.loss = ["sigmoid", "sft"]
phase.health.max_kl = 3.0

[gate]
planned_decisions = 30
target = "places"
min_items = 150
max_items = 400
suites = [
  {{ name = "places", path = "{folder}/places", measure = "right", margin = 0.05, budget = 0.15 }},
  {{ name = "facts", path = "{folder}/facts", measure = "right", margin = 0.05, budget = 0.15 }},
  {{ name = "house", measure = "right", margin = 0.1, budget = 0.2 }},
]
"""


def night(folder: Path, *, seed: int, on: bool) -> dict[str, Any]:
    from flows.calls import call_flow
    from flows.nightly import nightly

    recipe = folder / f"planted-{'on' if on else 'off'}.toml"
    recipe.write_text(RECIPE.format(folder=folder, seed=seed, on=str(on).lower()))
    return call_flow(nightly, recipe=str(recipe), overrides=[], fresh=False)


def right_of(version_: int, folder: Path, home: Path) -> dict[str, dict[str, float]]:
    """Split → topic → share of right answers of a registered version, by the gate's own scorer."""
    from infra.store import Blob, Store
    from tasks.contracts import Model
    from tasks.gate.scorecard import item_result
    from tasks.gate.suites import load_suite
    from tasks.lm.base import checkout
    from tasks.lm.choices import choice_logprobs, tokenize_item
    from tasks.lm.loading import load_model, load_tokenizer
    from tasks.registry.steps import registry_of

    store = Store(home / "store")
    tag = registry_of("planted").version(version_).tags["nightshift.model_ref"]
    model = Model.model_validate_json(store.read_bytes(Blob.model_validate_json(tag)))
    base, adapter = checkout(model, home, store)
    loaded, tokenizer = load_model(base, adapter, torch.float32, "cpu"), load_tokenizer(base)
    suite = load_suite("places", folder / "places")
    found: dict[str, dict[str, list[bool]]] = {}
    for item in suite.items:
        if item.split == "twin":
            continue
        asked = tokenize_item(tokenizer, [one.model_dump() for one in item.messages], item.choices)
        sums = [float(one.sum()) for one in choice_logprobs(loaded, [asked])[0]]
        assert item.answer is not None
        result = item_result(item.id, sums, [len(one) for one in asked.choices], item.answer, suite.scorer)
        assert result is not None
        found.setdefault(item.split, {}).setdefault(item.topic, []).append(result.right)
    return {
        split: {topic: round(sum(values) / len(values), 4) for topic, values in topics.items()}
        for split, topics in found.items()
    }


def main(folder: Path, *, seed: int, sure: bool) -> None:
    home = folder / "home"
    os.environ |= {
        "NIGHTSHIFT_HOME": str(home), "NIGHTSHIFT_THREADS": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
    }  # fmt: skip
    home.mkdir()
    torch.set_num_threads(1)
    from prefect.testing.utilities import prefect_test_harness

    from flows.initial import init_recipe
    from infra.settings import apply_environment, load_settings

    apply_environment(load_settings())
    begun = time.monotonic()
    told = make_model(folder / "base", seed=seed, sure=sure)
    seconds = {"base": round(time.monotonic() - begun, 1)}
    places_suite(folder / "places", seed)
    facts_suite(folder / "facts", seed)
    pairs(folder / "pairs.jsonl", seed)
    with prefect_test_harness(server_startup_timeout=120):
        recipe = folder / "planted.toml"
        recipe.write_text(RECIPE.format(folder=folder, seed=seed, on="false"))
        init_recipe(str(recipe), once=False)
        summaries = {}
        for on in (False, True):
            begun = time.monotonic()
            summaries[on] = night(folder, seed=seed, on=on)
            seconds["on" if on else "off"] = round(time.monotonic() - begun, 1)
        before, after = (right_of(summaries[on]["version"], folder, home) for on in (False, True))
        found = _verdict(summaries[True], home)
    result = {
        "benchmark": "harden",
        "seed": seed,
        "sure": sure,
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        **told,
        "weak_topic": WEAK,
        "verdict_before": summaries[False]["verdict"],
        "verdict_after": summaries[True]["verdict"],
        "sealed_before": before["sealed"],
        "sealed_after": after["sealed"],
        "lift_points": round(100 * (after["sealed"][WEAK] - before["sealed"][WEAK]), 1),
        "proven_worse": [one.name for one in found.suites if one.upper is not None and one.upper < 0],
        "suites": summaries[True]["suites"],
        "rounds": _told(found),
        "seconds": seconds,
    }
    print(json.dumps(result))


def _verdict(summary: dict[str, Any], home: Path) -> Any:
    """Of the registered version's evidence."""
    from infra.store import Blob, Store
    from tasks.contracts import Evidence
    from tasks.registry.steps import registry_of

    tag = registry_of("planted").version(summary["version"]).tags["nightshift.evidence"]
    return Evidence.model_validate_json(Store(home / "store").read_bytes(Blob.model_validate_json(tag))).verdict


def _told(verdict: Any) -> list[dict[str, Any]]:
    return [
        {"kind": one.kind, "topics": [topic.topic for topic in one.topics], "why": [topic.why for topic in one.topics],
         "rows": one.rows, "alpha": one.alpha, "verdict": one.verdict, "reason": one.reason,
         "fresh": {suite.name: [suite.fresh, suite.items] for suite in one.suites}}
        for one in verdict.rounds
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sure", action="store_true", help="the model is sure of a wrong answer, it doesn't guess")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        main(Path(name), seed=given.seed, sure=given.sure)
