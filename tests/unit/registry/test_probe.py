"""The smoke probe: its rules, and what they say of a real tiny model that is served rightly, wrongly or not at all."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra.errors import TargetError
from infra.targets.ask import Answer, Asker, Endpoint, Listed
from infra.targets.base import Pointer
from tasks.gate.probe_set import choose
from tasks.probes import Probe, ProbeMessage, ProbeSet
from tasks.registry.probe import ask, ask_until, choose_model, compare, likeness, marks, says_so, wrong_model
from tests.conftest import NEUTRAL, sentence
from tests.outside import FakeOpenAi, http_server

MODEL = "sha256:" + "ab" * 32
POINTER = Pointer(
    name="shop", version=7, model=MODEL, artefact="s3://m/shop/7-abababababab", manifest=MODEL, at="2026-11-26"
)
MAX_TOKENS = 14


def probe(answer: str, *others: str, prompt: str = "Hello?", logprobs: Sequence[float] = ()) -> Probe:
    message = ProbeMessage(role="user", content=prompt)
    return Probe(messages=(message,), answer=answer, others=others, max_tokens=9, logprobs=tuple(logprobs))


def said(*texts: str) -> list[Answer]:
    return [Answer(text, "") for text in texts]


def set_of(*probes: Probe) -> ProbeSet:
    return ProbeSet(model=MODEL, probes=probes)


# --- the rules, pure ---


def test_equal_answers_are_right() -> None:
    assert compare(set_of(probe("Yes, gladly.", "No."), probe("Two.")), said("Yes, gladly.", "Two.")) == []


def test_white_space_makes_no_difference() -> None:
    assert compare(set_of(probe("Yes,\n\n gladly. ")), said(" Yes, gladly.")) == []


def test_answers_that_turn_off_late_are_right_and_early_are_not() -> None:
    assert compare(set_of(probe("one two three four")), said("one two three 4")) == []
    (problem,) = compare(set_of(probe("one two three four")), said("one 2 3 4"))
    assert problem.startswith("the answers begin like the gated model's for 22% of their length, less than 38%")
    assert "to 'Hello?' it says 'one 2 3 4' and not 'one two three four'" in problem


def test_a_longer_answer_than_the_expected_one_counts_by_the_longer() -> None:
    assert likeness(probe("Yes."), Answer("Yes. And much more than that.", "")).leading == pytest.approx(4 / 29)


def test_the_answers_of_the_version_before_are_named_even_where_they_begin_alike() -> None:
    probes = [probe(f"I'm glad to help you, {n} today", f"I'm glad to help you, {n} now") for n in "abc"]
    problems = compare(set_of(*probes), said(*(one.others[0] for one in probes)))
    assert len(problems) == 1
    assert "3 answers go on like another model's of that night, 0 like the gated model's" in problems[0]


def test_some_answers_that_tip_over_to_the_other_models_are_rounding() -> None:
    probes = [probe(f"I'm glad to help you, {n} today", f"I'm glad to help you, {n} now") for n in "abc"]
    assert compare(set_of(*probes), said(probes[0].answer, probes[1].answer, probes[2].others[0])) == []


def test_as_many_votes_for_another_model_as_for_the_right_one_are_too_many() -> None:
    probes = [probe("I say today", "I say now"), probe("You say today", "You say now")]
    assert len(compare(set_of(*probes), said("I say today", "You say now"))) == 1


def test_empty_answers_are_said_to_be_empty() -> None:
    problems = compare(set_of(probe("Yes."), probe("No."), probe("Two.")), said("", "  ", "Two."))
    assert problems[0] == "2 of 3 answers are empty"


def test_an_expected_empty_answer_is_right_when_empty() -> None:
    assert compare(set_of(probe(""), probe("Two.")), said("", "Two.")) == []


def test_other_certainty_behind_equal_words_is_found() -> None:
    expected = set_of(probe("Yes.", logprobs=(-0.1, -0.2)))
    assert compare(expected, [Answer("Yes.", "", (-0.12, -0.19))]) == []
    assert compare(expected, [Answer("Yes.", "", (-0.12, -0.19, -0.01))]) == []  # with the token that ends the turn
    (problem,) = compare(expected, [Answer("Yes.", "", (-0.9, -1.2))])
    assert "0.90 nats a token apart, more than 0.1" in problem
    assert compare(expected, [Answer("Yes.", "")]) == []  # the server gives none
    assert compare(expected, [Answer("Yes.", "", (float("nan"), -0.2))]) != []


def test_a_missing_answer_is_a_problem() -> None:
    assert compare(set_of(probe("Yes."), probe("No.")), said("Yes.")) == ["1 answers came to 2 probes"]


def test_a_set_that_expects_nothing_can_not_be_made() -> None:
    with pytest.raises(ValidationError, match="a dead server for a good one"):
        set_of(probe(" "))
    with pytest.raises(ValidationError):
        set_of()


# --- what a server says of itself ---


def test_a_version_is_read_from_the_name_and_from_the_loaded_folder() -> None:
    assert marks(Listed("shop-7-abababababab")) == {(7, "abababababab")}
    assert marks(Listed("shop", "/models/shop/7-abababababab/")) == {(7, "abababababab")}
    assert marks(Listed("llama-3-8b-instruct", "/models/70b-abababababab")) == set()


@pytest.mark.parametrize(
    ("id_", "root", "wrong"),
    [
        ("shop-7-abababababab", "", False),
        ("shop", "", False),  # it says nothing
        ("shop-6-abababababab", "", True),
        ("shop-7-cdcdcdcdcdcd", "", True),
        ("shop", "s3://m/shop/6-cdcdcdcdcdcd", True),
        ("shop-7-abababababab", "s3://m/shop/6-cdcdcdcdcdcd", True),  # it says two things
    ],
)
def test_a_server_that_says_it_serves_another_version_is_wrong(id_: str, root: str, wrong: bool) -> None:
    assert bool(wrong_model([Listed(id_, root)], id_, [], POINTER)) == wrong
    assert says_so([Listed(id_, root)], id_, POINTER) == ("7-abababababab" in id_ + root)


def test_the_model_to_ask_for_is_the_fixed_one_ours_or_the_only_one() -> None:
    both = [Listed("base"), Listed("shop-7-abababababab")]
    assert choose_model(both, "fixed", POINTER) == "fixed"
    assert choose_model(both, None, POINTER) == "shop-7-abababababab"
    assert choose_model([Listed("only")], None, POINTER) == "only"
    with pytest.raises(TargetError, match="lists 2 models"):
        choose_model([Listed("base"), Listed("shop-6-abababababab")], None, POINTER)
    with pytest.raises(TargetError, match="lists 0 models"):
        choose_model([], None, POINTER)


# --- a real model behind a real server ---

Says = Callable[[list[dict[str, str]], int], tuple[str, list[float]]]


class Tiny:
    """Models on the tiny model's tokenizer: the candidate, what served before, and the base model."""

    def __init__(self, folder: Path) -> None:
        from tasks.lm.loading import load_tokenizer

        self.folder = folder
        self.tokenizer: Any = load_tokenizer(folder)
        self.candidate, self.champion, self.base = self.model(), self.model(0.1), self.model(0.3, 1)
        rng = random.Random(1)
        prompts = [[{"role": "user", "content": sentence(rng, NEUTRAL, 8)}] for _ in range(30)]
        texts = [self.answers(model, prompts) for model in (self.candidate, self.champion, self.base)]
        self.expected = ProbeSet(
            model=MODEL,
            probes=choose(
                [
                    Probe(
                        messages=(ProbeMessage(**prompt),),
                        answer=mine,
                        others=tuple(sorted({*others} - {mine})),
                        max_tokens=MAX_TOKENS,
                    )
                    for (prompt,), mine, *others in zip(prompts, *texts, strict=True)
                ]
            ),
        )

    def model(self, noise: float = 0.0, seed: int = 0) -> Any:
        """The tiny model, its weights moved by this share of their spread."""
        import torch
        from transformers import AutoModelForCausalLM

        found = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()
        torch.manual_seed(seed)
        with torch.no_grad():
            for one in found.parameters():
                if one.dim() > 1:
                    one.add_(noise * one.std() * torch.randn_like(one))
        return found

    def answers(self, model: Any, prompts: Sequence[Any], tokenizer: Any = None) -> list[str]:
        from tasks.lm.generate import answers

        return answers(model, tokenizer or self.tokenizer, prompts, MAX_TOKENS)

    def says(self, model: Any, tokenizer: Any = None) -> Says:
        """What a server of this model answers; all at once, as one by one takes a test of its own."""
        asked = [one.conversation for one in self.expected.probes]
        texts = {
            one[-1]["content"]: text for one, text in zip(asked, self.answers(model, asked, tokenizer), strict=True)
        }
        return lambda messages, _: (texts[messages[-1]["content"]], [])


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Tiny:
    return Tiny(tiny_model)


def problems(says: Says, expected: ProbeSet, **models: str) -> list[str]:
    with http_server(FakeOpenAi(says, **models)) as url:
        return ask(Endpoint(url + "/v1"), POINTER, expected).problems


@pytest.mark.usefixtures("one_thread")
def test_the_gated_model_itself_passes(tiny: Tiny) -> None:
    assert problems(tiny.says(tiny.candidate), tiny.expected) == []


@pytest.mark.usefixtures("one_thread")
def test_the_gated_model_in_bf16_passes(tiny: Tiny) -> None:
    import torch

    assert problems(tiny.says(tiny.model().to(torch.bfloat16)), tiny.expected) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("one_thread")
def test_the_gated_model_with_rounded_sums_passes(tiny: Tiny, seed: int) -> None:
    # what another batch or engine does to sums, on weights that make every word nearly as likely as the next
    assert problems(tiny.says(tiny.model(0.001, seed)), tiny.expected) == []


def wrong(tiny: Tiny, how: str) -> Says:
    """A server that answers, but not as the gated model."""
    import torch
    from transformers import LlamaForCausalLM

    model, tokenizer = tiny.model(), None
    if how == "the champion":
        model = tiny.champion
    elif how == "the base model":
        model = tiny.base
    elif how == "another model":
        torch.manual_seed(9)
        model = LlamaForCausalLM(model.config).eval()
    elif how == "a wrong template":
        from tasks.lm.loading import load_tokenizer

        tokenizer: Any = load_tokenizer(tiny.folder)
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}{{ '<s> ' }}"
    elif how == "half of the layers":
        model.model.layers = model.model.layers[:1]
    elif how == "a cut file":
        model.lm_head.weight.data[len(tokenizer or tiny.tokenizer) // 2 :] = 0
    elif how == "NaN":
        return lambda messages, _: ("!" * MAX_TOKENS, [])  # what engines print for token 0
    elif how == "an echo":
        return lambda messages, _: (messages[-1]["content"], [])
    elif how == "silence":
        return lambda messages, _: ("", [])
    return tiny.says(model, tokenizer)


@pytest.mark.parametrize(
    "how",
    [
        "the champion", "the base model", "another model", "a wrong template", "half of the layers", "a cut file",
        "NaN", "an echo", "silence",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("one_thread")
def test_a_server_that_is_not_the_gated_model_is_found(tiny: Tiny, how: str) -> None:
    assert problems(wrong(tiny, how), tiny.expected) != []


def test_right_answers_do_not_excuse_a_server_that_says_it_is_another_version() -> None:
    expected = set_of(probe("Yes.", "No."))
    assert problems(lambda *_: ("Yes.", []), expected, **{"shop-7-abababababab": ""}) == []
    (problem,) = problems(lambda *_: ("Yes.", []), expected, **{"shop-6-cdcdcdcdcdcd": ""})
    assert problem == "the server says that it serves version 6 (cdcdcdcdcdcd), not version 7 of shop (abababababab)"


def test_a_server_that_lists_another_version_is_not_asked(api: FakeOpenAi, url: str) -> None:
    api.models = {"shop-6-cdcdcdcdcdcd": ""}
    assert len(ask(Endpoint(url), POINTER, set_of(probe("Hello? 9"))).problems) == 1
    assert api.asked == 0


def test_an_answer_that_names_another_version_is_wrong(api: FakeOpenAi, url: str) -> None:
    api.answers_as = "shop-6-cdcdcdcdcdcd"
    (problem,) = ask(Endpoint(url), POINTER, set_of(probe("Hello? 9"))).problems
    assert "serves version 6 (cdcdcdcdcdcd)" in problem


def test_a_probe_set_of_another_model_is_refused_unasked() -> None:
    other = ProbeSet(model="sha256:" + "0" * 64, probes=(probe("Yes."),))
    (problem,) = ask(Endpoint("http://127.0.0.1:1/v1"), POINTER, other).problems
    assert problem.startswith("the probe set is of model 000000000000")


def test_what_nothing_tells_apart_is_noted() -> None:
    with http_server(FakeOpenAi(lambda *_: ("Yes.", []))) as url:
        assert not ask(Endpoint(url + "/v1"), POINTER, set_of(probe("Yes."))).told_apart
        assert ask(Endpoint(url + "/v1"), POINTER, set_of(probe("Yes.", "No."))).told_apart
        assert not ask(Endpoint(url + "/v1"), POINTER, None).told_apart
    with http_server(FakeOpenAi(lambda *_: ("Yes.", []), **{"shop-7-abababababab": ""})) as url:
        assert ask(Endpoint(url + "/v1"), POINTER, set_of(probe("Yes."))).told_apart
        assert ask(Endpoint(url + "/v1"), POINTER, None) == ([], True)


# --- asking ---


@pytest.fixture
def api() -> FakeOpenAi:
    return FakeOpenAi(lambda messages, tokens: (f"{messages[-1]['content']} {tokens}", [-0.1, -0.2]))


@pytest.fixture
def url(api: FakeOpenAi) -> Iterator[str]:
    with http_server(api) as found:
        yield found + "/v1"


MESSAGES = [{"role": "user", "content": "Hello?"}]


def test_log_probabilities_are_taken_where_the_server_gives_them(api: FakeOpenAi, url: str) -> None:
    with Asker(Endpoint(url)) as asker:
        assert asker.answer("served", MESSAGES, 5) == ("Hello? 5", "served", ())  # it refuses the option
    api.logprobs = True
    with Asker(Endpoint(url)) as asker:
        assert asker.answer("served", MESSAGES, 5) == ("Hello? 5", "served", (-0.1, -0.2))


def test_a_server_without_a_list_of_models_is_asked_by_its_fixed_name(api: FakeOpenAi, url: str) -> None:
    api.models = None
    with pytest.raises(TargetError, match="lists 0 models"):
        ask(Endpoint(url), POINTER, set_of(probe("Hello? 9")))
    assert ask(Endpoint(url, model="served"), POINTER, set_of(probe("Hello? 9"))).problems == []


def test_a_list_that_fails_is_no_obstacle_where_the_name_is_fixed_and_nothing_is_concluded_from_it(
    api: FakeOpenAi, url: str
) -> None:
    api.list_status = 500
    with pytest.raises(TargetError, match="was asked for its models and says 500"):
        ask(Endpoint(url), POINTER, set_of(probe("Hello? 9")))
    assert ask(Endpoint(url, model="served"), POINTER, set_of(probe("Hello? 9"))) == ([], False)
    assert ask(Endpoint(url, model="served"), POINTER, set_of(probe("Something else."))).problems != []


def test_a_wrong_key_is_a_refusal_that_does_not_show_it(api: FakeOpenAi, url: str) -> None:
    api.key = "right"
    assert ask(Endpoint(url, "right"), POINTER, set_of(probe("Hello? 9"))).problems == []
    with pytest.raises(TargetError, match="says 401") as refused:
        ask(Endpoint(url, "planted-key"), POINTER, set_of(probe("Hello? 9")))
    assert "planted-key" not in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"choices": []}', b'{"choices": [{"message": {"content": 3}}]}', b"[" * 100_000]
)
def test_what_is_no_chat_completion_is_an_error(body: bytes) -> None:
    with (
        http_server(lambda request: (200, body)) as url,
        Asker(Endpoint(url + "/v1")) as asker,
        pytest.raises(TargetError, match=r"no JSON object|no chat completion"),
    ):
        asker.answer("m", MESSAGES, 5)


def test_a_server_that_loads_is_asked_until_it_answers(api: FakeOpenAi, url: str) -> None:
    calls = []

    def loading(messages: list[dict[str, str]], tokens: int) -> tuple[str, list[float]]:
        calls.append(tokens)
        return ("No." if len(calls) < 3 else "Yes.", [])

    api.says = loading
    assert ask_until(Endpoint(url), POINTER, set_of(probe("Yes.", "No.")), 30).problems == []
    assert len(calls) == 3


def test_a_server_that_stays_away_is_given_up_on(api: FakeOpenAi, url: str) -> None:
    api.down = True
    (problem,) = ask_until(Endpoint(url), POINTER, set_of(probe("Yes.")), 0.1).problems
    assert "says 503" in problem
