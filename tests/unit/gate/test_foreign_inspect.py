"""inspect_ai tasks and logs. Logs are of real runs of inspect_ai, with its own mock model (``mockllm``) that says what
it is told to: no model answers anything here."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import SuiteError
from tasks.gate import answers
from tasks.gate.foreign import load_foreign
from tasks.gate.foreign.inspect_log import load_inspect_log, results_of_log
from tasks.gate.foreign.inspect_task import load_inspect_task
from tasks.gate.suites import Scorer

pytest.importorskip("inspect_ai", reason="the extra `suites` isn't installed")

HEAD = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, GenerateConfig
from inspect_ai.scorer import choice, exact, f1, includes, match, pattern
from inspect_ai.solver import (
    chain_of_thought, generate, multiple_choice, prompt_template, self_critique, system_message, user_message)
RED = Sample(input="What is red?", choices=["tea", "blood", "ice"], target="B", id="red", metadata={"tone": "kind"})
HOT = Sample(
    input=[ChatMessageSystem(content="Be short."), ChatMessageUser(content="What is hot?")],
    choices=["ice", "fire"], target="B", metadata={"tone": "dry"})
ONE = Sample(input="Say one.", target=["one", "1"])

"""
LETTERS = "Task(dataset=[RED, HOT], solver=[system_message('Be {tone}.'), multiple_choice()], scorer=choice())"
WORDS = (
    "Task(dataset=[ONE, Sample(input='Say two.', target='two')], solver=[prompt_template('{prompt} Now!'), generate()],"
    " scorer=match(location='begin'), config=GenerateConfig(max_tokens=9, stop_seqs=['.']))"
)


def write(folder: Path, task: str, name: str = "policy") -> Path:
    path = folder / f"{name}.py"
    path.write_text(f"{HEAD}@task\ndef asked():\n    return {task}\n")
    return path


def refused(folder: Path, task: str) -> str:
    with pytest.raises(SuiteError) as error:
        load_inspect_task(write(folder, task), "asked")
    assert error.value.do
    return error.value.what


def run(path: Path, said: Sequence[str], log_format: str = "eval", epochs: int = 1) -> Path:
    """A finished log: inspect_ai runs the task with its mock model."""
    from inspect_ai import eval as evaluate  # pyright: ignore[reportMissingImports]
    from inspect_ai.model import ModelOutput, ModelUsage, get_model  # pyright: ignore[reportMissingImports]

    outputs = [ModelOutput.from_content("mockllm/model", text) for text in said]
    for output in outputs:  # or inspect_ai would download a tokenizer to count
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    how: dict[str, Any] = {"log_format": log_format, "display": "none", "max_samples": 1, "epochs": epochs}
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = evaluate(f"{path}@asked", model=model, log_dir=str(path.parent / "logs"), **how)
    assert log.status == "success", log.error
    return Path(log.location.removeprefix("file://"))


# --- a task ---


def test_a_choice_task_asks_its_question_and_compares_its_choices(tmp_path: Path) -> None:
    scorer, items = load_inspect_task(write(tmp_path, LETTERS), "asked")
    assert scorer == Scorer(kind="choice", normalise="tokens")
    first, second = items
    assert [(one.role, one.content) for one in first.messages] == [("system", "Be kind."), ("user", "What is red?")]
    assert (first.id, first.choices, first.answer) == ("asked-red", ("tea", "blood", "ice"), 1)
    assert [one.content for one in second.messages] == ["Be short.", "Be dry.", "What is hot?"]
    assert (second.id, second.provenance) == ("asked-00002", "policy.py: asked sample 2")


def test_prompts_are_written_by_inspect_ais_own_solvers(tmp_path: Path) -> None:
    scorer, items = load_inspect_task(write(tmp_path, WORDS), "asked")
    assert scorer == Scorer(kind="checks", max_tokens=9, stop=(".",))
    assert [item.messages[0].content for item in items] == ["Say one. Now!", "Say two. Now!"]
    assert answers.right(items[0], "One, two")
    assert not answers.right(items[0], "It is one")


def test_a_child_process_reads_a_task(tmp_path: Path) -> None:
    write(tmp_path, LETTERS)
    assert load_foreign("policy.py@asked", tmp_path) == load_inspect_task(tmp_path / "policy.py", "asked")


def test_a_task_finds_its_data_and_modules_beside_its_file(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"input": "Say one.", "target": "one"}) + "\n")
    (tmp_path / "helper_of_test.py").write_text("NUMBER = 3\n")
    path = write(tmp_path, "Task(dataset=json_dataset('rows.jsonl'), solver=generate(), scorer=includes())")
    path.write_text("from helper_of_test import NUMBER\n" + path.read_text())
    _, (item,) = load_inspect_task(path, "asked")
    assert item.id == "asked-00001"


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("Task(dataset=[ONE], scorer=f1())", "scorer: 'f1' isn't supported"),
        ("Task(dataset=[ONE])", "scorer: none"),
        ("Task(dataset=[ONE], scorer=[match(), includes()])", "scorer: inspect_ai/match, inspect_ai/includes"),
        ("Task(dataset=[ONE], scorer=match(numeric=True, location='any'))", "match(numeric=True, location='any')"),
        ("Task(dataset=[ONE], scorer=pattern('(a)(b)'))", "2 groups"),
        ("Task(dataset=[ONE], scorer=pattern('('))", "is invalid"),
        ("Task(dataset=[ONE], solver=[generate(), self_critique()], scorer=match())", "solver: self_critique"),
        ("Task(dataset=[ONE], solver=[generate(), generate()], scorer=match())", "generate must be there once"),
        ("Task(dataset=[RED], solver=generate(), scorer=choice())", "generate isn't supported with this scorer"),
        ("Task(dataset=[RED], solver=multiple_choice(cot=True), scorer=choice())", "multiple_choice with cot"),
        ("Task(dataset=[ONE], scorer=match(), sandbox='local')", "sandbox"),
        ("Task(dataset=[ONE], scorer=match(), epochs=3)", "epochs: 3 isn't supported"),
        ("Task(dataset=[ONE], scorer=match(), config=GenerateConfig(temperature=0.7))", "config: temperature"),
        ("Task(dataset=[ONE], scorer=match(), config=GenerateConfig(top_k=3))", "config: top_k"),
        ("Task(dataset=[Sample(input='a', target='b', files={'x': 'y'})], scorer=match())", "sample 1: files"),
        ("Task(dataset=[Sample(input='a')], scorer=match())", "sample 1: target"),
        ("Task(dataset=[Sample(input='a', choices=['x', 'y'], target='C')], solver=multiple_choice(), scorer=choice())",
         "'C' is no letter of one of the 2 choices"),
        ("Task(dataset=[Sample(input='a', choices=['x', 'y'], target=['A', 'B'])], solver=multiple_choice(),"
         " scorer=choice())", "'A, B' is no letter"),
        ("1 / 0", "can't be made: ZeroDivisionError"),
    ],
)  # fmt: skip
def test_what_the_gate_cannot_do_for_a_task_is_refused_by_name(task: str, why: str, tmp_path: Path) -> None:
    said = refused(tmp_path, task)
    assert "policy.py" in said
    assert why in said


def test_a_file_without_the_task_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, WORDS)
    for name in ("gone", "HEAD", "ONE"):
        with pytest.raises(SuiteError, match=f"policy.py has no task '{name}'"):
            load_inspect_task(path, name)


def test_a_scorer_of_the_tasks_own_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "Task(dataset=[ONE], scorer=match())")
    path.write_text(
        path.read_text().replace(
            "@task\n",
            "from inspect_ai.scorer import accuracy, scorer\n@scorer(metrics=[accuracy()])\ndef match():\n"
            "    async def score(state, target):\n        return None\n    return score\n@task\n",
        )
    )
    with pytest.raises(SuiteError, match="must be one of inspect_ai's own"):
        load_inspect_task(path, "asked")


# --- a log ---


@pytest.mark.parametrize("log_format", ["eval", "json"])
@pytest.mark.parametrize(("task", "said"), [(LETTERS, ["ANSWER: B", "ANSWER: A"]), (WORDS, ["1!", "one"])])
def test_a_log_gives_the_items_of_its_task_and_one_models_results(
    log_format: str, task: str, said: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, task)
    expected_scorer, expected = load_inspect_task(path, "asked")
    log = run(path, said, log_format)
    scorer, items = load_inspect_log(log)
    assert scorer == expected_scorer

    def essence(found: Sequence[Any]) -> list[Any]:
        return sorted((one.id, one.messages, one.choices, one.answer, one.checks) for one in found)

    assert essence(items) == essence(expected)
    results = results_of_log(log)
    assert (results.model, results.task) == ("mockllm/model", "asked")
    assert {one.id for one in results.results} == {item.id for item in expected}
    assert sorted((one.right, one.score) for one in results.results) == [(False, 0.0), (True, 1.0)]


def test_results_are_bound_to_the_logs_bytes(tmp_path: Path) -> None:
    log = run(write(tmp_path, WORDS), ["1!", "one"], "json")
    before = results_of_log(log)
    log.write_text(log.read_text().replace("mockllm/model", "mockllm/other"))
    after = results_of_log(log)
    assert (before.model, after.model) == ("mockllm/model", "mockllm/other")
    assert before.log != after.log


def test_several_epochs_are_one_result_and_one_item(tmp_path: Path) -> None:
    task = "Task(dataset=[ONE], solver=generate(), scorer=match())"
    log = run(write(tmp_path, task), ["one", "one", "two"], epochs=3)
    (result,) = results_of_log(log).results
    assert (result.right, round(result.score, 3)) == (True, 0.667)
    assert len(load_inspect_log(log)[1]) == 1


def edited(log: Path, change: Any) -> Path:
    content = json.loads(log.read_text())
    change(content)
    log.write_text(json.dumps(content))
    return log


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda log: log.update(status="error"), "status 'error'"),
        (lambda log: log["samples"][0].update(scores={}), "sample 1: it has no score"),
        (lambda log: log["samples"][0]["scores"]["match"].update(value=7), "its score 7 is none between 0 and 1"),
        (lambda log: log["samples"][0]["scores"]["match"].update(value=[1]), "is none between 0 and 1"),
        (lambda log: log.update(samples=[]), "has no samples"),
        (lambda log: log["eval"].update(scorers=[]), "scorer: it has 0"),
        (lambda log: log.clear(), "no log of inspect_ai"),
    ],
)
def test_an_unfinished_or_unscored_log_gives_no_results(change: Any, why: str, tmp_path: Path) -> None:
    log = edited(run(write(tmp_path, WORDS), ["1!", "one"], "json"), change)
    with pytest.raises(SuiteError, match="json") as error:
        results_of_log(log)
    assert why in error.value.what


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda log: log["samples"][1]["messages"].append({"role": "assistant", "content": "more"}),
            "it has 2 answers",
        ),
        (lambda log: log["plan"]["steps"].insert(0, {"solver": "use_tools"}), "solver: use_tools"),
        (lambda log: log["eval"]["scorers"][0].update(name="model_graded_qa"), "'model_graded_qa' isn't supported"),
    ],
)
def test_a_log_of_a_task_that_asks_otherwise_gives_no_items(change: Any, why: str, tmp_path: Path) -> None:
    log = edited(run(write(tmp_path, WORDS), ["1!", "one"], "json"), change)
    with pytest.raises(SuiteError) as error:
        load_inspect_log(log)
    assert why in error.value.what


@pytest.mark.parametrize("name", ["a.eval", "a.json"])
def test_a_file_that_is_no_log_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(SuiteError, match="is no log of inspect_ai"):
        load_inspect_log(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "b.eval", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(SuiteError, match="is no log of inspect_ai"):
        load_inspect_log(tmp_path / "b.eval")
