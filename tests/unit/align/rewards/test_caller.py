"""Rewards as a trainer asks for them: one finite number an answer, or an error that names reward and prompt."""

import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tasks.align.rewards.caller import Worker, checked, modelled, verifiable
from tasks.errors import ModelError, RewardError

PROMPTS = [[{"role": "user", "content": "How much is 40 and 2?"}], [{"role": "user", "content": "And 1 and 1?"}]]
ANSWERS = [[{"role": "assistant", "content": "42"}], [{"role": "assistant", "content": "3"}]]
# a pattern whose search takes 2^n steps: a real verifier that hangs, on one unlucky answer
HANGS = {"type": "string", "pattern": "^(a+)+$"}


def texts(*truths: Any) -> list[str]:
    """A column of truths."""
    return [json.dumps(truth) for truth in truths]


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(seconds=2.0)
    yield made
    made.close()


class Model:
    """A reward model that says what it is told to."""

    def __init__(self, says: Any) -> None:
        self.says = says

    def rewards(self, prompts: Any, answers: Any) -> list[float]:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def test_a_batch_earns_a_number_each_and_its_name_is_the_rewards(worker: Worker) -> None:
    reward = verifiable("exact_number", worker)
    assert reward(prompts=PROMPTS, completions=ANSWERS, truth=texts(42, 2), id=["a", "b"]) == [1.0, 0.0]
    assert reward.__name__ == "exact_number"
    assert verifiable("length_penalty", worker)(prompts=PROMPTS, completions=["42", "3"]) == [0.0, 0.0]


def test_code_is_tested_from_the_worker_too(worker: Worker) -> None:
    reward = verifiable("unit_tests", worker)
    assert reward(
        prompts=["Add."], completions=["def add(a, b): return a + b"], truth=texts(["assert add(1, 1) == 2"])
    ) == [1]


def test_a_verifier_that_hangs_is_killed_and_named_and_the_next_call_is_answered(worker: Worker) -> None:
    reward = verifiable("json_schema", worker)
    assert reward(prompts=["Say a."], completions=['"aaa"'], truth=texts(HANGS)) == [1.0]
    process = worker._process
    assert process is not None
    began = time.monotonic()
    with pytest.raises(RewardError, match=r"'json_schema'.*'Say a\.'.*longer than 2 s") as stopped:
        reward(prompts=["Say a."], completions=['"' + "a" * 60 + '!"'], truth=texts(HANGS))
    assert 1.9 < time.monotonic() - began < 10
    assert "goes on" in stopped.value.do
    assert not psutil.pid_exists(process.pid)
    assert reward(prompts=["Say a."], completions=['"aaa"'], truth=texts(HANGS)) == [1.0]


def test_a_reward_that_raises_names_itself_the_prompt_and_the_cause(worker: Worker) -> None:
    with pytest.raises(RewardError, match=r"'exact_number'.*'And 1 and 1\?'.*the truth 'many' is no number") as stopped:
        verifiable("exact_number", worker)(prompts=PROMPTS, completions=ANSWERS, truth=texts(42, "many"))
    assert "run again" in stopped.value.do
    # the worker lives on
    assert verifiable("exact_number", worker)(prompts=PROMPTS, completions=ANSWERS, truth=texts(42, 3)) == [1.0, 1.0]


@pytest.mark.parametrize("truth", [None, ["42", None], ["42", "null"]])
def test_a_row_without_the_truth_that_a_reward_needs_is_refused(truth: Any, worker: Worker) -> None:
    with pytest.raises(RewardError, match="the row has none") as refused:
        verifiable("exact_number", worker)(prompts=PROMPTS, completions=ANSWERS, truth=truth)
    assert "not_refused, length_penalty" in refused.value.do
    assert worker._process is None


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), None, "1.0", True])
def test_a_reward_that_is_no_finite_number_is_an_error_and_never_a_zero(odd: Any) -> None:
    with pytest.raises(RewardError, match=r"'house'.*'And 1 and 1\?'.*no finite number"):
        modelled("house", Model([1.0, odd]))(prompts=PROMPTS, completions=ANSWERS)


def test_a_reward_model_that_raises_or_gives_too_few_numbers_is_named() -> None:
    with pytest.raises(RewardError, match=r"'house'.*KeyError"):
        modelled("house", Model(KeyError("w")))(prompts=PROMPTS, completions=ANSWERS)
    with pytest.raises(RewardError, match="'house' gave 1 numbers for 2 answers"):
        modelled("house", Model([1.0]))(prompts=PROMPTS, completions=ANSWERS)
    # an error of ours says itself what to do
    with pytest.raises(ModelError, match="too long"):
        modelled("house", Model(ModelError("too long", do="cut")))(prompts=PROMPTS, completions=ANSWERS)


def test_numbers_of_a_reward_pass_as_they_are() -> None:
    assert checked("r", PROMPTS, [1, -2.5]) == [1.0, -2.5]


def test_a_worker_that_dies_is_told_and_not_waited_for(worker: Worker) -> None:
    worker.score("length_penalty", "Hello", "Hi", None)
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    with pytest.raises(RewardError, match=r"ended by itself \(exit code -9\)"):
        worker.score("length_penalty", "Hello", "Hi", None)
    assert worker.score("length_penalty", "Hello", "Hi", None) == 0.0
