"""One question to several models: what the program answers, and how it stands side by side in a terminal."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from infra.digest import digest_of
from tasks.errors import ModelError
from tasks.lm.ask import Answer, check_question, in_columns, printable
from tasks.lm.ask_program import answer, main
from tasks.lm.generate import generate, prompt_ids
from tasks.lm.loading import load_tokenizer
from tasks.lm.served import load_as_served
from tests.unit.lm.test_loading import make_adapter


def shown(called: str, text: str, **changes: Any) -> Answer:
    facts: dict[str, Any] = {"version": 1, "model": digest_of(called), "tokens": 3, "seconds": 0.5, "cut": False}
    return Answer(called=called, title=called, text=text, **(facts | changes))


def test_answers_stand_side_by_side_with_version_tokens_and_latency() -> None:
    page = in_columns([shown("champion", "one two\n\nthree"), shown("candidate", "four", tokens=1, cut=True)], 85)
    assert page.splitlines() == [
        "champion                                  │  candidate",
        "────────                                  │  ─────────",
        "one two                                   │  four",
        "                                          │",
        "three                                     │  1 token · 0.50 s · cut off",
        "                                          │",
        "3 tokens · 0.50 s                         │",
    ]


def test_a_long_answer_is_wrapped_within_its_column() -> None:
    lines = in_columns([shown("a", "word " * 40), shown("b", "x" * 100)], 90).splitlines()
    assert max(map(len, lines)) <= 90
    assert sum(line.count("word") for line in lines) == 40
    assert sum(line.count("x") for line in lines) == 100


def test_in_a_narrow_terminal_answers_stand_under_each_other() -> None:
    page = in_columns([shown("champion", "one"), shown("candidate", "two")], 60)
    assert "│" not in page
    assert page.index("one") < page.index("candidate") < page.index("two")


def test_model_text_cannot_steer_the_terminal() -> None:
    evil = "a\x1b[2J\x1b]0;title\x07b\u202etxet\x9b31m\r\nc\x00"
    assert printable(evil) == "a�[2J�]0;title�b�txet�31m�\nc�"
    assert "\x1b" not in in_columns([shown("a", evil)], 80)


@pytest.mark.parametrize("question", ["", "  \n\t"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(ModelError, match="the question is empty"):
        check_question(question, 10)


@pytest.mark.parametrize("count", [0, -1, 4097])
def test_a_senseless_number_of_tokens_is_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"at most {count} tokens can't be asked for"):
        check_question("why?", count)
    check_question("why?", 4096)


@pytest.fixture
def spec(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("tasks.lm.ask_program.die_with_parent", lambda: None)
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    models = [
        {"title": title, "base": str(tiny_model), "adapter": worn, "quantise": None}
        for title, worn in (("base", None), ("trained", str(adapter)))
    ]
    return {"question": "when is the sun cold", "max_tokens": 6, "dtype": "float32", "threads": 1, "models": models}


def run(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "spec.json").write_text(json.dumps(spec))
    main(str(folder / "spec.json"), str(folder / "result.json"))
    return json.loads((folder / "result.json").read_text())


@pytest.mark.usefixtures("one_thread")
def test_each_model_answers_greedily_as_transformers_own_generate_does(
    spec: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    found = run(spec, tmp_path)["answers"]
    tokenizer = load_tokenizer(tiny_model)
    prompt = prompt_ids(tokenizer, [{"role": "user", "content": spec["question"]}])
    plain: Any = LlamaForCausalLM.from_pretrained(tiny_model)
    trained = load_as_served(tiny_model, tmp_path / "adapter", torch.float32, "cpu").model
    for one, model in zip(found, (plain, trained), strict=True):
        ids = torch.tensor([prompt])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        assert one["tokens"] == out[0, len(prompt) :].tolist()
        assert one["text"] == tokenizer.decode(one["tokens"], skip_special_tokens=True).strip()
        assert one["cut"] == (len(one["tokens"]) == 6)
        assert one["seconds"] > 0
    assert found[0]["tokens"] != found[1]["tokens"]


@pytest.mark.usefixtures("one_thread")
def test_a_question_longer_than_the_model_takes_is_refused_with_its_tokens(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    problem = run(spec | {"question": "sun " * 300}, tmp_path)["problem"]
    assert problem["what"].startswith("the question has 30")
    assert "the model takes 256" in problem["what"]
    assert "--max-tokens" in problem["do"]


@pytest.mark.usefixtures("one_thread")
def test_the_latency_is_of_the_answer_alone(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = load_as_served(tiny_model, None, torch.float32, "cpu")
    calls = []

    def noted(*arguments: Any) -> Any:
        calls.append(arguments[3])
        return generate(*arguments)

    monkeypatch.setattr("tasks.lm.ask_program.generate", noted)
    assert answer(served, "why", 5)["tokens"]
    assert calls == [1, 5]  # a first call warms up
