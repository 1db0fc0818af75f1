"""Others' suites: which file is read how, and plain JSONL."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT
from tasks.errors import SuiteError
from tasks.gate import answers
from tasks.gate.foreign import is_foreign, load_foreign
from tasks.gate.foreign.plain import load_plain
from tasks.gate.foreign.program import read
from tasks.gate.suites import Item, Scorer, build_suite, parse_item

ROW = {"question": "What is red?", "choices": ["tea", "blood"], "answer": 1}
ASK = {"prompt": "Say one.", "target": "one"}


def write(folder: Path, *rows: Any, name: str = "house.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def refused(path: Path) -> str:
    with pytest.raises(SuiteError) as error:
        load_plain(path)
    return error.value.what


# --- which file is read how ---


@pytest.mark.parametrize(
    "reference", ["a.yaml", "a.yml@acc_norm", "b/c.py@task", "log.eval", "log.json", "rows.jsonl", "my@work/rows.jsonl"]
)
def test_files_of_others_are_told_from_folders_of_ours(reference: str) -> None:
    assert is_foreign(reference)
    assert not is_foreign("expectations/model/safety")


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("gone.jsonl", "there is no file"),
        ("suite.txt", "ends with none of .yaml"),
        ("task.py", "can't be read as inspect_task"),
        ("house.jsonl@first", "can't be read as plain"),
    ],
)
def test_a_reference_that_names_nothing_readable_is_refused(reference: str, why: str, tmp_path: Path) -> None:
    write(tmp_path, ROW)
    for name in ("suite.txt", "task.py"):
        (tmp_path / name).touch()
    with pytest.raises(SuiteError, match=why):
        load_foreign(reference, tmp_path)


def test_a_reference_is_found_from_the_root_and_read_whole(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    scorer, items = load_foreign("house.jsonl", tmp_path)
    assert build_suite("house", scorer, items).items[0].answer == 1


def test_scorer_and_items_come_back_from_the_program_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    scorer = Scorer(normalise="characters", template="none", delimiter=" ")
    item = Item.model_validate(
        {"id": "a", "messages": [{"role": "user", "content": "x"}], "choices": ["b", "c"], "answer": 0}
    )
    seen = []

    def run(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
        seen.append(spec)
        assert list(folder.iterdir()) == []
        return json.loads(json.dumps({"scorer": scorer.model_dump(), "items": [item.model_dump()]}))

    assert load_foreign("a.yaml@acc_norm", tmp_path, run) == (scorer, [item])
    assert seen == [{"form": "lm_eval", "path": str(tmp_path / "a.yaml"), "picked": "acc_norm", "root": str(tmp_path)}]


def test_the_programs_refusal_is_ours(tmp_path: Path) -> None:
    (tmp_path / "a.eval").touch()
    with pytest.raises(SuiteError, match="no good") as error:
        load_foreign("a.eval", tmp_path, lambda *_: {"error": {"what": "it is no good", "do": "mend it"}})
    assert error.value.do == "mend it"


def test_a_child_process_reads_the_file_and_its_refusal_arrives(tmp_path: Path) -> None:
    (tmp_path / "group.yaml").write_text("group: many\ntask: [one, two]\n")
    with pytest.raises(SuiteError, match=r"group\.yaml") as error:
        load_foreign("group.yaml", tmp_path)
    assert "group of tasks" in error.value.what or "isn't installed" in error.value.what


def test_a_child_process_that_dies_is_an_error_of_the_suite(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\nos._exit(7)\n")
    pytest.importorskip("inspect_ai", reason="the extra `suites` isn't installed")
    with pytest.raises(SuiteError, match="exit code 7"):
        load_foreign("a.py@task", tmp_path)


def test_the_program_hands_on_what_and_do(tmp_path: Path) -> None:
    spec = {"form": "lm_eval", "path": str(tmp_path / "gone.yaml"), "picked": "", "root": str(tmp_path)}
    error = read(spec, tmp_path)["error"]
    assert "gone.yaml" in error["what"]
    assert error["do"]


# --- plain JSONL ---


def test_the_rows_of_the_guide_are_read(tmp_path: Path) -> None:
    ours, plain = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "suites.md").read_text(), re.DOTALL)
    for number, row in enumerate(plain.splitlines()):
        assert load_plain(write(tmp_path, row, name=f"{number}.jsonl"))[1]
    for kind, row in zip(("choice", "checks"), ours.splitlines(), strict=True):
        assert build_suite("guide", Scorer(kind=kind), [parse_item(row, "guide")]).items


@pytest.mark.parametrize("prompt", ["prompt", "question", "input"])
@pytest.mark.parametrize("choices", ["choices", "options"])
@pytest.mark.parametrize("answer", [1, "B", "blood", " blood "])
def test_choices_are_read_under_their_usual_names(prompt: str, choices: str, answer: Any, tmp_path: Path) -> None:
    scorer, (item,) = load_plain(write(tmp_path, {prompt: "What is red?", choices: ["tea", "blood"], "answer": answer}))
    assert (scorer.kind, scorer.normalise, scorer.template) == ("choice", "tokens", "chat")
    assert (item.messages[0].content, item.choices, item.answer) == ("What is red?", ("tea", "blood"), 1)
    assert item.provenance == "house.jsonl line 1"


def test_choices_may_be_an_object_from_letter_to_text(tmp_path: Path) -> None:
    row = {"question": "q", "options": {"X": "tea", "Y": "milk"}, "answer": "Y", "family": "drinks", "id": 7}
    _, (item,) = load_plain(write(tmp_path, row))
    assert (item.choices, item.answer, item.family, item.id) == (("tea", "milk"), 1, "drinks", "7")


def test_a_conversation_may_be_given_as_messages(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    _, (item,) = load_plain(write(tmp_path, {"messages": messages, "target": ["Hi", "Hello"]}))
    assert [message.role for message in item.messages] == ["system", "user"]


@pytest.mark.parametrize(("target", "answer"), [("one", "One."), (["one", "1"], "1"), (42, "42")])
def test_a_target_is_compared_by_our_exact_check(target: Any, answer: str, tmp_path: Path) -> None:
    scorer, (item,) = load_plain(write(tmp_path, {"prompt": "Say one.", "target": target}))
    assert scorer.kind == "checks"
    assert answers.right(item, answer)
    assert not answers.right(item, "two")


def test_an_id_that_is_not_given_stays_when_rows_move_and_changes_with_the_row(tmp_path: Path) -> None:
    first = [item.id for item in load_plain(write(tmp_path, ROW, {**ROW, "question": "What is hot?"}))[1]]
    moved = [item.id for item in load_plain(write(tmp_path, {**ROW, "question": "What is hot?"}, "", ROW))[1]]
    assert moved == first[::-1]
    (changed,) = load_plain(write(tmp_path, {**ROW, "answer": 0}))[1]
    assert changed.id not in first
    assert first[0].startswith("house-")


def test_a_line_separator_inside_a_text_ends_no_row(tmp_path: Path) -> None:
    (tmp_path / "house.jsonl").write_text(json.dumps({**ASK, "prompt": "a\u2028b"}, ensure_ascii=False), "utf-8-sig")
    _, (item,) = load_plain(tmp_path / "house.jsonl")
    assert item.messages[0].content == "a\u2028b"


def test_bad_rows_are_named_with_their_line(tmp_path: Path) -> None:
    said = refused(write(tmp_path, ROW, "{", {**ROW, "answer": 2}, "", {"choices": ["a", "b"], "answer": 0}, "[]"))
    for part in ("house.jsonl: line 2: it is no JSON", "line 3: answer 2 is none of the 2 choices",
                 "line 5: it has no prompt", "line 6: it is no JSON object"):  # fmt: skip
        assert part in said
    assert "line 1" not in said


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    assert "; and 3 more" in refused(write(tmp_path, *["{"] * 8))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({**ROW, "answer": True}, "no index, letter or text"),
        ({**ROW, "answer": -1}, "none of the 2 choices"),
        ({**ROW, "answer": "C"}, "none of the choices"),
        ({**ROW, "answer": "2"}, "none of the choices"),
        ({**ROW, "answer": None}, "no answer"),
        ({**ROW, "choices": ["B", "A"], "answer": "B"}, "text of one choice and the letter of another"),
        ({**ROW, "choices": [1, 2]}, "a list of texts"),
        ({**ROW, "choices": ["tea"], "answer": 0}, "at least 2 choices"),
        ({**ROW, "choices": ["tea", "tea"]}, "two choices are equal"),
        ({**ROW, "prompt": "twice"}, "prompt and question"),
        ({**ROW, "target": "tea"}, "choices and a target"),
        ({**ROW, "split": "train"}, "Input should be 'gate', 'sealed' or 'twin'"),
        ({"prompt": "q", "answer": "a"}, "neither choices with an answer nor a target"),
        ({"prompt": " ", "target": "a"}, "no prompt"),
        ({"prompt": "q", "target": ""}, "no text"),
        ({"prompt": "q", "target": []}, "no text"),
        ({"prompt": "q", "target": [True]}, "no text"),
        ({"messages": [{"role": "user", "content": "q", "name": "x"}], "target": "a"}, "a role and a content"),
    ],
)
def test_a_row_that_could_be_read_in_two_ways_or_none_is_refused(row: dict[str, Any], why: str, tmp_path: Path) -> None:
    said = refused(write(tmp_path, row))
    assert "line 1: " in said
    assert why in said


def test_an_id_given_twice_names_both_lines(tmp_path: Path) -> None:
    assert "line 3: the id 'a' is that of line 1" in refused(
        write(tmp_path, {**ROW, "id": "a"}, ROW, {**ROW, "id": "a"})
    )
    assert "line 2: the id" in refused(write(tmp_path, ROW, ROW))


def test_rows_of_two_kinds_are_two_suites(tmp_path: Path) -> None:
    assert "line 2: rows with choices and rows with a target" in refused(write(tmp_path, ROW, ASK))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "no rows" in refused(write(tmp_path, ""))


MAPPING = '[fields]\nprompt = "frage"\ntarget = "antwort"\nid = "nr"\n'


def test_columns_of_other_names_are_mapped_by_the_toml_beside_them(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text(MAPPING + '[scorer]\nkind = "checks"\nmax_tokens = 9\n')
    scorer, (item,) = load_plain(write(tmp_path, {"frage": "Sag eins.", "antwort": "eins", "nr": 3, "input": "other"}))
    assert (scorer.max_tokens, item.id, item.messages[0].content) == (9, "3", "Sag eins.")


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        (MAPPING, "line 1: it has no 'frage'"),
        ('[fields]\nquestion = "frage"', "house.toml has question"),
        ("[rotation]\nevery = 3", "house.toml has rotation"),
        ("[fields", "house.toml can't be read"),
        ('[scorer]\nkind = "choice"', "its scorer is choice, its rows are for checks"),
        ('[scorer]\nkind = "magic"', "house.toml can't be read"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(toml: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text(toml)
    assert why in refused(write(tmp_path, ASK))
