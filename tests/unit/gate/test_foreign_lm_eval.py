"""lm-evaluation-harness tasks: what is read, and what is refused. The scores are in test_lm_eval_parity.py."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import SuiteError
from tasks.gate.foreign import load_foreign
from tasks.gate.foreign.extract import extracted
from tasks.gate.foreign.lm_eval_rules import text_rule
from tasks.gate.foreign.lm_eval_task import load_lm_eval
from tasks.gate.suites import Item, Scorer

pytest.importorskip("lm_eval", reason="the extra `suites` isn't installed")

DOCS = [
    {"q": "What is red?", "options": ["tea", "blood"], "gold": 1, "word": "blood", "words": ["blood", "ink"]},
    {"q": "What is hot?", "options": ["ice", "fire"], "gold": 1, "word": "fire", "words": ["fire"]},
]
CHOICE = {
    "task": "local", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
    "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{q}}", "doc_to_choice": "options",
    "doc_to_target": "gold",
}  # fmt: skip
TEXT = {
    **{key: value for key, value in CHOICE.items() if key != "doc_to_choice"},
    "output_type": "generate_until",
    "doc_to_target": "word",
}
BARE = [{"name": "bare", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}]


def write(folder: Path, config: dict[str, Any], docs: list[dict[str, Any]] = DOCS) -> Path:
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    path = folder / "local.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


def load(folder: Path, config: dict[str, Any], picked: str = "") -> tuple[Scorer, list[Item]]:
    return load_lm_eval(write(folder, config), folder, folder / "cache", picked)


def refused(folder: Path, config: dict[str, Any], docs: list[dict[str, Any]] = DOCS, picked: str = "") -> str:
    with pytest.raises(SuiteError) as error:
        load_lm_eval(write(folder, config, docs), folder, folder / "cache", picked)
    assert error.value.do
    return error.value.what


def test_items_are_the_harness_own_documents_and_prompts_without_a_template(tmp_path: Path) -> None:
    scorer, items = load(tmp_path, {**CHOICE, "description": "Answer. ", "target_delimiter": ": "})
    assert scorer == Scorer(kind="choice", normalise="none", template="none", delimiter=": ")
    first = items[0]
    assert first.messages[0].content == "Answer. What is red?"
    assert (first.id, first.choices, first.answer) == ("local-00000", ("tea", "blood"), 1)
    assert first.provenance == "local.yaml: docs.jsonl document 0"


def test_a_child_process_reads_a_task_by_the_named_metric(tmp_path: Path) -> None:
    scorer, items = load_foreign(f"{write(tmp_path, CHOICE).name}@acc_norm", tmp_path)
    assert scorer.normalise == "characters"
    assert items == load(tmp_path, CHOICE)[1]


def test_data_is_found_from_the_root_too_and_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    path = write(tmp_path / "tasks", CHOICE)
    (tmp_path / "tasks" / "docs.jsonl").rename(tmp_path / "docs.jsonl")
    before = load_lm_eval(path, tmp_path, tmp_path / "a")[1]
    assert list((tmp_path / "a").rglob("*.arrow"))  # nothing of it lies in the user's own cache
    text = (tmp_path / "docs.jsonl").read_text()
    (tmp_path / "docs.jsonl").write_text(text.replace("hot", "hat"))  # as long as before
    after = load_lm_eval(path, tmp_path, tmp_path / "b")[1]
    assert [item.messages[0].content for item in before] == ["What is red?", "What is hot?"]
    assert [item.messages[0].content for item in after] == ["What is red?", "What is hat?"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_read_as_the_harness_reads_them(form: str, tmp_path: Path) -> None:
    import pandas

    table = pandas.DataFrame({"q": ["What is red?"], "a": ["tea"], "b": ["blood"], "gold": [1]})
    table.to_csv(tmp_path / "d.csv", index=False) if form == "csv" else table.to_parquet(tmp_path / "d.parquet")
    config = {
        **CHOICE, "dataset_path": form, "dataset_kwargs": {"data_files": f"d.{form}"}, "test_split": "train",
        "doc_to_choice": "{{[a, b]}}",
    }  # fmt: skip
    _, (item,) = load(tmp_path, config)
    assert (item.choices, item.answer, item.provenance) == (("tea", "blood"), 1, f"local.yaml: d.{form} document 0")


def test_functions_of_the_task_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def keep(docs):\n    return docs.filter(lambda doc: 'hot' in doc['q'])\n"
        "def ask(doc):\n    return doc['q'].upper()\n"
    )
    path = write(tmp_path, {key: value for key, value in CHOICE.items() if key != "doc_to_text"})
    path.write_text(path.read_text()[:-1] + ', "process_docs": !function own.keep, "doc_to_text": !function own.ask}')
    _, (item,) = load_lm_eval(path, tmp_path, tmp_path / "cache")
    assert item.messages[0].content == "WHAT IS HOT?"


@pytest.mark.parametrize(("picked", "normalise"), [("", "none"), ("acc_norm", "characters"), ("acc_bytes", "bytes")])
def test_the_metric_behind_the_file_judges_else_the_first(picked: str, normalise: str, tmp_path: Path) -> None:
    config = {**CHOICE, "metric_list": [{"metric": name} for name in ("acc", "acc_norm", "acc_bytes")]}
    assert load(tmp_path, config, picked)[0].normalise == normalise


def test_generation_is_greedy_and_ends_where_the_task_says(tmp_path: Path) -> None:
    generation = {"until": ["\n", "Q:"], "max_gen_toks": 9, "do_sample": False, "temperature": 0.0}
    scorer, items = load(tmp_path, {**TEXT, "filter_list": BARE, "generation_kwargs": generation})
    assert scorer == Scorer(kind="checks", template="none", max_tokens=9, stop=("\n", "Q:"))
    (check,) = items[0].checks
    assert (check.kind, check.texts, check.fold) == ("extract", ("blood",), ("strip",))
    scorer, _ = load(tmp_path, TEXT)
    assert (scorer.max_tokens, scorer.stop) == (256, ("\n\n",))  # the harness' own


def test_one_of_several_answers_is_enough(tmp_path: Path) -> None:
    _, items = load(tmp_path, {**TEXT, "doc_to_target": "words"})
    assert [item.checks[0].texts for item in items] == [("blood", "ink"), ("fire",)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"dataset_path": "ai2_arc"}, "dataset_path: 'ai2_arc' would be downloaded"),
        ({"dataset_kwargs": {}}, "data_files: it is missing"),
        ({"dataset_kwargs": {"data_files": "https://x.org/a.json"}}, "is no local file"),
        ({"dataset_kwargs": {"data_files": {"test": ["gone.json"]}}}, "there is no gone.json"),
        ({"output_type": "loglikelihood_rolling"}, "output_type: 'loglikelihood_rolling' isn't supported"),
        ({"test_split": None}, "test_split: there is neither"),
        ({"test_split": "dev"}, "lm-eval can't build the task: KeyError"),
        ({"doc_to_text": "{{nothing}}"}, "'nothing' is undefined"),
        ({"doc_to_text": None}, "doc_to_text: it is missing"),
        ({"doc_to_text": "1"}, "doc_to_text: it picks one of several contexts"),
        ({"doc_to_choice": None}, "doc_to_choice: it is missing"),
        ({"doc_to_choice": ["a", ""]}, "lm-eval can't build the task: IndexError"),
        ({"doc_to_choice": ["a", "a"]}, "document 0 of docs.jsonl: two choices are equal"),
        ({"doc_to_target": "5"}, "lm-eval can't build the task: IndexError"),
        ({"doc_to_target": "ash"}, "doc_to_target: 'ash' is none of its 2 choices"),
        ({"doc_to_target": "words"}, "doc_to_target: ['blood', 'ink'] is none"),
        ({"process_results": "x"}, "process_results: 'x' isn't supported"),
        ({"doc_to_image": "x"}, "doc_to_image"),
        ({"repeats": 3}, "repeats: 3 answers"),
        ({"filter_list": BARE}, "filters of choices"),
        ({"group": "g"}, "this is a group of tasks"),
        ({"metric_list": [{"metric": "f1"}]}, "metric_list: 'f1' isn't supported"),
        ({"include": "gone.yaml"}, "can't be read"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_key(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    config = {key: value for key, value in {**CHOICE, **change}.items() if value is not None}
    said = refused(tmp_path, config)
    assert "local.yaml" in said
    assert why in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metric_list": [{"metric": "bleu"}]}, "exact_match only, not bleu"),
        ({"metric_list": [{"metric": "exact_match", "hf_evaluate": True}]}, "would be downloaded"),
        ({"metric_list": [{"metric": "exact_match", "multi": 1}]}, "exact_match with multi"),
        ({"filter_list": [{"name": "a", "filter": [{"function": "remove_whitespace"}]}]}, "end with take_first"),
        (
            {"filter_list": [{"name": "a", "filter": [{"function": "lowercase"}, {"function": "take_first"}]}]},
            "lowercase isn't supported",
        ),
        (
            {"filter_list": [{"name": "a", "filter": [
                {"function": "regex", "regex_pattern": "x", "group_select": 2}, {"function": "take_first"}]}]},
            "group_select of 0 or -1",
        ),
        ({"generation_kwargs": {"temperature": 0.7, "do_sample": True}}, "generation_kwargs"),
        ({"generation_kwargs": {"num_beams": 3}}, "num_beams"),
        ({"doc_to_target": "{{''}}"}, "can't be compared"),
    ],
)  # fmt: skip
def test_filters_and_metrics_of_text_that_are_not_supported_are_refused(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    assert why in refused(tmp_path, {**TEXT, **change})


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"options": ["ice", ""]}, "doc_to_choice: ['ice', ''] has a choice that is empty"),
        ({"options": ["ice"], "gold": 0}, "at least 2 choices"),
        ({"gold": 2}, "doc_to_target: 2 is none of its 2 choices"),
        ({"gold": -1}, "doc_to_target: -1 is none of its 2 choices"),
    ],
)
def test_a_document_that_cannot_be_scored_is_named_with_its_index(
    second: dict[str, Any], why: str, tmp_path: Path
) -> None:
    said = refused(tmp_path, CHOICE, [DOCS[0], {**DOCS[1], **second}])
    assert "local.yaml: document 1 of docs.jsonl: " in said
    assert why in said


def test_a_metric_or_filter_that_the_task_lacks_is_refused_with_those_it_has(tmp_path: Path) -> None:
    assert "it has acc, acc_norm" in refused(tmp_path, CHOICE, picked="bleu")
    assert "it has bare" in refused(tmp_path, {**TEXT, "filter_list": BARE}, picked="strict")


def test_a_right_answer_that_is_the_filters_fallback_is_refused(tmp_path: Path) -> None:
    filters = [{"name": "a", "filter": [{"function": "regex", "regex_pattern": "x", "fallback": "fire"},
                                        {"function": "take_first"}]}]  # fmt: skip
    assert "document 1 of docs.jsonl: doc_to_target: 'fire' is also the filter's" in refused(
        tmp_path, {**TEXT, "filter_list": filters}
    )


PATTERNS = [None, r"(\d+)", r"(a+)|(b+)", r"is (\w*)", r"a.", r"(?s)b.*a"]
options = st.fixed_dictionaries(
    {}, optional={
        "ignore_case": st.booleans(), "ignore_punctuation": st.booleans(), "ignore_numbers": st.booleans(),
        "regexes_to_ignore": st.lists(st.sampled_from([",", r"\$", "a"]), max_size=2),
    },
)  # fmt: skip
words = st.text("aAb1 .,$\n", max_size=12)


@st.composite
def said_and_targets(draw: st.DrawFn) -> tuple[str, list[str]]:
    """An answer, and right answers that are often a part of it, in some form."""
    said = draw(st.one_of(words, words.map("is {}".format), words.map("1 is b1aa {}".format)))
    start, end = sorted((draw(st.integers(0, len(said))), draw(st.integers(0, len(said)))))
    part = said[start:end]
    targets = st.one_of(words, st.sampled_from([said, said.strip(), part, part.swapcase(), f"{part}.", f"{part}1"]))
    return said, draw(st.lists(targets, min_size=1, max_size=2))


@settings(max_examples=2000, deadline=None)
@given(both=said_and_targets(), how=options, pattern=st.sampled_from(PATTERNS), last=st.booleans(), strip=st.booleans())
def test_an_answer_is_right_where_the_harness_filters_and_exact_match_say_so(
    both: tuple[str, list[str]], how: dict[str, Any], pattern: str | None, last: bool, strip: bool
) -> None:
    text, targets = both
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter, WhitespaceFilter

    group = -1 if last else 0
    steps = [{"function": "regex", "regex_pattern": pattern, "group_select": group}] if pattern else []
    steps += [{"function": "remove_whitespace"}] if strip and not pattern else []
    config = {
        "output_type": "generate_until",
        "filter_list": [{"name": "f", "filter": [*steps, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", **how}],
    }
    rule = text_rule("local.yaml", config, "f")
    filtered = text
    if pattern:
        ((filtered,),) = RegexFilter(pattern, group).apply([[text]], [])
    elif strip:
        ((filtered,),) = WhitespaceFilter().apply([[text]], [])
    try:
        check = rule.check("here", tuple(targets))
    except SuiteError:  # a target of which nothing is left is refused when the task is read
        return
    theirs = exact_match_hf_evaluate(np.array([filtered] * len(targets)), targets, **how)["exact_match"] > 0
    assert extracted(check, text) == theirs
