"""Closed-book answers: asked once, kept as they come, and made pairs of only where they differ."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.pools.local import LocalPool
from infra.programs import run_program
from infra.settings import ROOT, child_environment, load_settings
from tasks.data.keys import answer_key
from tasks.data.records import Broken, Record
from tasks.data.rows import COLUMNS, Built, Rows
from tasks.data.sample import _whole, outcomes, sample_pairs, unasked
from tasks.data.sample_rows import questions_in, with_pairs
from tasks.lm.answer_program import main
from tasks.lm.answer_store import AnswerStore, Said, key_of
from tasks.lm.generate import generate, prompt_ids
from tasks.lm.loading import load_tokenizer


def question(text: str, answer: str, **changes: Any) -> Built:
    citation = json.dumps({"source": "policy.md", "lines": [3, 4], "cut": changes.pop("cut", False)})
    return Built(
        prompt=[{"role": "user", "content": text}],
        chosen=[{"role": "assistant", "content": answer}],
        rejected=[],
        id=text[:8],
        kind="document",
        builder="documents/question",
        citation=citation,
        **changes,
    )


DAYS = question("How long can I return it?", "Within 45 days of delivery.", tenant="kestrel")
FEE = question("What is the fee?", "A fee of 4.90 EUR is taken off.")


def test_only_an_answer_that_differs_becomes_a_rejected_one_and_says_why() -> None:
    (pair,) = sample_pairs([DAYS, FEE], ["Within 30 days.", "4,90 EUR, taken off the refund."], "sha256:m")
    assert pair.kind == "pair"
    assert pair.builder == "documents/closed-book"
    assert (pair.prompt, pair.chosen, pair.tenant) == (DAYS.prompt, DAYS.chosen, "kestrel")
    assert pair.rejected == [{"role": "assistant", "content": "Within 30 days."}]
    assert pair.rejected_model == "sha256:m"
    citation = json.loads(pair.citation or "")
    assert citation["lines"] == [3, 4]
    assert citation["differs"]["reason"] == "figure"
    assert "30 days" in citation["differs"]["detail"]


def test_what_became_of_every_question_is_counted() -> None:
    pairs, tally = outcomes([DAYS, FEE, FEE], ["Within 30 days.", "It is 4.90 EUR.", " "])
    assert [pair is not None for pair in pairs] == [True, False, False]
    assert tally == (3, {"figure": 1}, 1, 1)
    assert tally.sentence() == "3 questions: 1 answers differ from the document (1 by figure), 1 don't, 1 are none"


def test_figures_are_not_held_against_an_answer_where_the_section_says_more_than_is_quoted() -> None:
    cut = question("How long can I return it?", "Within 45 days of delivery.", cut=True)
    assert sample_pairs([cut], ["Within 30 days."]) == []


def test_each_question_needs_its_answer() -> None:
    with pytest.raises(ValueError):
        sample_pairs([DAYS, FEE], ["Within 30 days."])


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=6))
def test_a_pair_keeps_its_question_its_answer_and_its_citation(cases: list[tuple[str, str]]) -> None:
    questions = [question(f"What is {number}?", document) for number, (document, _) in enumerate(cases)]
    for pair in sample_pairs(questions, [answer for _, answer in cases]):
        of = questions[int(pair.prompt[0]["content"].removeprefix("What is ").removesuffix("?"))]
        assert pair.chosen == of.chosen
        assert json.loads(of.citation or "").items() <= json.loads(pair.citation or "").items()


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("One. Two three", "One."),
        ("One.\nTwo. Three four", "One.\nTwo."),
        ("- one\n- two", "- one"),
        ("First do this. 3.", "First do this."),
        ("It is so.", "It is so."),
        ("It has no end", ""),
        ("", ""),
    ],
)
def test_an_answer_that_was_cut_off_ends_with_its_last_whole_sentence(text: str, whole: str) -> None:
    assert _whole(Said(text, True)) == whole
    assert _whole(Said(text, False)) == text


def test_answers_are_found_again_by_their_prompt_and_a_damaged_line_counts_as_absent(tmp_path: Path) -> None:
    store, other = AnswerStore(tmp_path), AnswerStore(tmp_path)
    keys = [key_of(one.prompt) for one in (DAYS, FEE)]
    store.add(keys[0], Said("Within 30 days.", False))
    other.add(keys[1], Said("", False, "too long"))
    assert store.read() == {keys[0]: ("Within 30 days.", False, None), keys[1]: ("", False, "too long")}
    for path in tmp_path.glob("*.jsonl"):
        path.write_bytes(path.read_bytes().replace(b"30 days", b"60 days") + b'{"key": "cut')
    assert AnswerStore(tmp_path).read() == {keys[1]: ("", False, "too long")}
    assert unasked([DAYS, FEE, DAYS], store) == [DAYS]


# --- the program ---


@pytest.fixture
def spec(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("tasks.lm.answer_program.die_with_parent", lambda: None)
    prompts = [
        [{"role": "user", "content": text}] for text in ("when is the sun cold", "how old is my dog", "why stop")
    ]
    return {
        "base": str(tiny_model),
        "adapter": None,
        "quantise": None,
        "dtype": "float32",
        "threads": 1,
        "workers": 1,
        "answers": str(tmp_path / "answers"),
        "prompts": prompts,
        "max_tokens": 6,
        "temperature": 0.0,
        "seed": 0,
    }


def run(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "spec.json").write_text(json.dumps(spec))
    main(str(folder / "spec.json"), str(folder / "result.json"))
    return json.loads((folder / "result.json").read_text())


def kept(spec: dict[str, Any]) -> dict[str, Said]:
    return AnswerStore(Path(spec["answers"])).read()


@pytest.mark.usefixtures("one_thread")
def test_a_model_answers_every_prompt_as_it_serves(spec: dict[str, Any], tiny_model: Path, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    assert run(spec, tmp_path) == {"answered": 3, "left_out": 0}
    model, tokenizer = LlamaForCausalLM.from_pretrained(tiny_model), load_tokenizer(tiny_model)
    for prompt in spec["prompts"]:
        ((tokens,),) = generate(model, tokenizer, [prompt_ids(tokenizer, prompt)], 6)
        text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert kept(spec)[key_of(prompt)] == Said(text, len(tokens) == 6)


@pytest.mark.usefixtures("one_thread")
def test_tomorrow_only_new_questions_are_asked(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        "tasks.lm.answer_program.generate",
        lambda model, tokenizer, prompts, *rest, **how: (
            asked.append(len(prompts)) or generate(model, tokenizer, prompts, *rest, **how)
        ),
    )
    whole = spec["prompts"]
    run(spec | {"prompts": whole[:2]}, tmp_path)
    before = kept(spec)
    assert run(spec, tmp_path) == {"answered": 3, "left_out": 0}
    assert asked == [2, 1]
    assert before.items() < kept(spec).items()


def test_a_model_is_not_even_loaded_where_all_is_answered(spec: dict[str, Any], tmp_path: Path) -> None:
    for prompt in spec["prompts"]:
        AnswerStore(Path(spec["answers"])).add(key_of(prompt), Said("so", False))
    assert run(spec | {"base": str(tmp_path / "nowhere")}, tmp_path) == {"answered": 3, "left_out": 0}


@pytest.mark.usefixtures("one_thread")
def test_a_question_that_is_too_long_is_left_out_and_the_others_are_answered(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    long = [{"role": "user", "content": "sun " * 300}]
    assert run(spec | {"prompts": [*spec["prompts"], long]}, tmp_path) == {"answered": 3, "left_out": 1}
    assert kept(spec)[key_of(long)].why == "305 tokens: with an answer behind them the model takes 1 … 250"
    assert _whole(kept(spec)[key_of(long)]) == ""


@pytest.mark.usefixtures("one_thread")
def test_what_a_process_that_died_left_is_answered_by_the_first(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def dead(path: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        assert count == 2
        yield [subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]) for _ in range(count)]

    monkeypatch.setattr("tasks.lm.answer_program._helpers", dead)
    assert run(spec | {"workers": 3}, tmp_path) == {"answered": 3, "left_out": 0}


@pytest.mark.slow
def test_two_processes_share_the_questions(spec: dict[str, Any], tmp_path: Path) -> None:
    spec |= {"workers": 2, "prompts": [[{"role": "user", "content": f"cat dog {'sun ' * n}"}] for n in range(20)]}
    answered = run_program(LocalPool(), "tasks.lm.answer_program", spec, tmp_path, lambda event: None)
    assert answered == {"answered": 20, "left_out": 0}
    assert len(kept(spec)) == 20
    assert len(list(Path(spec["answers"]).glob("*.jsonl"))) == 2


@pytest.mark.slow
def test_a_killed_program_goes_on_where_it_stopped(spec: dict[str, Any], tmp_path: Path) -> None:
    spec |= {"prompts": [[{"role": "user", "content": f"cat {'sun ' * n}"}] for n in range(120)], "max_tokens": 100}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = [
        sys.executable,
        "-m",
        "tasks.lm.answer_program",
        str(tmp_path / "spec.json"),
        str(tmp_path / "result.json"),
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT, env=child_environment(load_settings())
    )
    while not kept(spec):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = kept(spec)
    assert 0 < len(before) < 120
    assert run(spec, tmp_path) == {"answered": 120, "left_out": 0}
    assert before.items() < kept(spec).items()


# --- the snapshot's rows ---

Given = Broken | tuple[Built, Record]


def row(built: Built, line: int, error: str | None = None) -> Given:
    """What is added to a table: a document's question, a pair, or what could not be read."""
    raw = json.dumps(built.id).encode()
    return Broken(raw, line, error) if error else (built, Record({}, raw, line))


def table_of(given: Sequence[Given]) -> pa.Table:
    rows = Rows("default")
    for one in given:
        if isinstance(one, Broken):
            rows.add_broken(one, "policy.md", "v")
        else:
            rows.add(*one, "policy.md", "v")
    return rows.table()


PAIR = Built(FEE.prompt, FEE.chosen, [{"role": "assistant", "content": "No."}], id="pair")


def table() -> pa.Table:
    return table_of([row(PAIR, 1), row(DAYS, 2), row(FEE, 3, error="not read"), row(FEE, 4), row(PAIR, 5)])


def test_the_questions_of_a_table_are_read_as_they_were_built() -> None:
    places, questions = questions_in(table())
    assert places == [1, 3]
    assert questions == [DAYS, replace(FEE, tenant="default")]  # a row always has a tenant


def test_pairs_take_their_questions_places_and_what_makes_none_leaves() -> None:
    places, questions = questions_in(table())
    pairs, _ = outcomes(questions, ["Within 30 days.", "It is 4.90 EUR."], "sha256:m")
    found = with_pairs(table(), places, pairs)
    assert found.schema == COLUMNS
    assert found["line"].to_pylist() == [1, 2, 3, 5]
    made = found.to_pylist()[1]
    assert (made["kind"], made["builder"], made["rejected_model"]) == ("pair", "documents/closed-book", "sha256:m")
    assert made["rejected_text"] == "Within 30 days."
    assert made["rejected_key"] == answer_key("Within 30 days.")
    assert made["roles"] == "user|assistant|assistant"
    before = table().to_pylist()
    assert [one for one in found.to_pylist() if one["line"] != 2] == [before[0], before[2], before[4]]
    assert questions_in(found) == ([], [])


def test_a_table_without_questions_stays_as_it_is() -> None:
    assert with_pairs(table(), [], []) is not None
    assert with_pairs(table(), [], []).equals(table())
