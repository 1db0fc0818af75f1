"""Suites as files: the project's own are sound, and a broken one is named."""

import json
from pathlib import Path

import pytest

from infra.settings import ROOT
from tasks.errors import SuiteError
from tasks.gate.suites import cut, house_suite, load_suite, parse_item

OWN = ("safety", "accuracy", "reasoning")


@pytest.mark.parametrize("name", OWN)
def test_own_suites_have_at_least_150_items_whose_answers_do_not_lean_to_one_place(name: str) -> None:
    suite = load_suite(name, ROOT / "expectations" / "model" / name)
    assert len(suite.items) >= 150
    width = len(suite.items[0].choices)
    shares = [sum(item.answer == place for item in suite.items) / len(suite.items) for place in range(width)]
    assert all(0.75 / width < share < 1.25 / width for share in shares)
    prompts = {item.messages[-1].content.lower() for item in suite.items}
    assert len(prompts) == len(suite.items)


def test_a_suite_cut_to_fewer_items_is_the_same_cut_every_night() -> None:
    folder = ROOT / "expectations" / "model" / "safety"
    whole = load_suite("safety", folder)
    part = cut(whole, 50)
    assert len(part.items) == 50
    assert set(part.items) < set(whole.items)
    assert part.digest == cut(load_suite("safety", folder), 50).digest != whole.digest


def test_one_changed_letter_changes_the_digest() -> None:
    line = json.dumps({"id": "a", "prompt": "why", "choices": ["x", "y"], "answer": 0})
    assert parse_item(line, "here").digest != parse_item(line.replace("why", "whz"), "here").digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": 2}, "answer 2 is none of the 2 choices"),
        ({"choices": ["x"]}, "at least 2"),
        ({"choices": ["x", "x"]}, "two choices are equal"),
        ({"id": ""}, "at least 1 character"),
        ({"surprise": 1}, "Extra inputs"),
        ({"answer": None}, "the choices have no answer"),
    ],
)
def test_a_broken_item_is_named_with_its_line(change: dict[str, object], message: str) -> None:
    item = {"id": "a", "prompt": "why", "choices": ["x", "y"], "answer": 0, **change}
    with pytest.raises(SuiteError, match=message) as caught:
        parse_item(json.dumps(item), "items.jsonl:7")
    assert "items.jsonl:7" in str(caught.value)


def test_a_suite_without_its_files_or_with_repeated_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="can't be read"):
        load_suite("gone", tmp_path / "gone")
    line = json.dumps({"id": "a", "messages": [{"role": "user", "content": "why"}], "choices": ["x", "y"], "answer": 0})
    with pytest.raises(SuiteError, match="'a' repeats"):
        house_suite(f"{line}\n{line}\n".encode())


def test_an_item_with_a_line_separator_in_its_text_is_one_item(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text('[scorer]\nkind = "choice"\nnormalise = "none"\n')
    items = [{"id": str(n), "prompt": "a\u2028b", "choices": ["x", "y"], "answer": 0} for n in range(2)]
    (tmp_path / "items.jsonl").write_text("\n".join(json.dumps(item, ensure_ascii=False) for item in items))
    assert len(load_suite("s", tmp_path).items) == 2


def test_an_item_that_is_no_text_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text('[scorer]\nkind = "choice"\nnormalise = "none"\n')
    (tmp_path / "items.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(SuiteError, match=r"items\.jsonl:1: .*utf-8"):
        load_suite("s", tmp_path)
