"""A policy that gets around its reward is stopped, by what held-out answers are watched by; one that learns is not."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.ppo_toy import make_model
from infra.jsonl import dump_lines
from tasks.align.online.watching import Watching
from tasks.align.pairs import HELD_OUT, set_apart
from tasks.align.program import Run
from tasks.align.rewards import caller
from tasks.align.rewards.caller import text_of
from tasks.align.watch import Unhealthy
from tasks.errors import RewardError
from tasks.phases import Phase
from tests.conftest import Never, training_spec

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = "12345678"
PAIRS = [f"{one} {other}" for one in DIGITS for other in DIGITS]
STEPS = 320


def row(number: int, pair: str) -> dict[str, Any]:
    """Two digits are told, and the first is the right answer."""
    said = {"role": "assistant", "content": pair[0]}
    prompt = [{"role": "user", "content": pair}]
    return {"id": f"row-{number}", "prompt": prompt, "chosen": [said], "rejected": [said], "truth": int(pair[0])}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, whose words are digits."""
    return make_model(tmp_path_factory.mktemp("digits"), DIGITS)


@pytest.fixture(scope="module")
def able(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after learning to say the first digit: it has something to lose."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    model: Any = LlamaForCausalLM.from_pretrained(base)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    ids = torch.tensor([tokenizer(f"<s> {one} {one[0]} </s>", add_special_tokens=False)["input_ids"] for one in PAIRS])
    labels = ids.clone()
    labels[:, :3] = -100
    torch.manual_seed(0)
    loss = torch.tensor(9.0)
    while loss > 0.4:  # not to the end: who is sure of every answer tries no other
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("able")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train(folder: Path, base: Path, seed: int = 0, **changes: Any) -> list[dict[str, float]]:
    """PPO on answers to digits, watched on rows of their own."""
    phase = {
        "method": "ppo", "adapter": "full", "reward": ["exact_number"], "batch_size": 8, "group_size": 8,
        "max_new_tokens": 2, "epochs": 4, "beta": 0.02, "kl_target": 2.3, "learning_rate": 2e-3,
        "checkpoint_every": 999, "probe_every": 8, "probe_prompts": 32, "probe_tokens": 2,
        "health": {"max_length_ratio": 10.0},
    } | changes  # fmt: skip
    rng = random.Random(seed)
    rows = [row(n, pair) for n, pair in enumerate(rng.choices(PAIRS, k=STEPS // 4 * 8))]
    held_out = [row(9000 + n, pair) for n, pair in enumerate(rng.sample(PAIRS, 32))]
    folder.mkdir()
    for name, lines in (("pairs", rows), ("held_out", held_out)):
        (folder / f"{name}.jsonl").write_bytes(dump_lines(lines))
    spec = training_spec(folder, base, folder / "pairs.jsonl", STEPS, phase, seed=seed)
    return Run(spec | {"held_out": str(folder / "held_out.jsonl")}, Never()).train()


@pytest.fixture
def flawed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`not_refused` pays for ones, whatever was asked."""
    true = caller.verifiable

    def ones(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        return [text_of(one).split().count("1") / 2 for one in completions]

    ones.__name__ = "not_refused"
    monkeypatch.setattr(
        caller, "verifiable", lambda name, worker: ones if name == "not_refused" else true(name, worker)
    )


@pytest.mark.usefixtures("flawed")
def test_a_policy_that_gets_around_a_flawed_reward_is_stopped_by_its_watch(able: Path, tmp_path: Path) -> None:
    with pytest.raises(Unhealthy) as stopped:
        train(tmp_path / "run", able, reward=["not_refused"], watch="exact_number")
    assert stopped.value.stop.name == "reward_hacking"
    assert stopped.value.stop.step < STEPS
    assert "held-out answers fell" in stopped.value.stop.what


@pytest.mark.slow
@pytest.mark.usefixtures("flawed")
@pytest.mark.parametrize("seed", range(1, 4))
def test_it_is_on_other_seeds_too(seed: int, able: Path, tmp_path: Path) -> None:
    with pytest.raises(Unhealthy) as stopped:
        train(tmp_path / "run", able, seed, reward=["not_refused"], watch="exact_number")
    assert stopped.value.stop.name == "reward_hacking"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_policy_that_learns_is_left_alone_and_its_watch_is_told(seed: int, able: Path, tmp_path: Path) -> None:
    history = train(tmp_path / "run", able, seed)
    looks = [step["probe_watch"] for step in history if "probe_watch" in step]
    assert len(looks) == STEPS // 8
    assert looks[-1] > 0.9


def test_answers_are_watched_by_the_trained_rewards_where_nothing_else_is_named() -> None:
    rows = [row(n, digit) for n, digit in enumerate("1234")]
    phase = Phase(method="ppo", max_steps=1, reward=("exact_number", "length_penalty"), reward_weights=(2.0, 1.0))
    watching = Watching(phase, rows, 3)
    assert [prompt[0]["content"] for prompt in watching.prompts] == ["1", "2", "3"]
    found = watching.look(["1", "2", "no idea"])
    assert found["probe_watch"] == pytest.approx(4 / 3)
    assert found["probe_watch_spread"] == pytest.approx(2 * (2 / 9) ** 0.5)
    assert found["probe_watch_error"] == pytest.approx(2 * (2 / 27) ** 0.5)


def test_rows_without_a_truth_are_not_watched_where_one_is_needed_and_none_at_all_is_refused() -> None:
    rows = [row(n, digit) for n, digit in enumerate("12")]
    without = [{name: value for name, value in one.items() if name != "truth"} for one in rows]
    phase = Phase(method="grpo", max_steps=1, reward=("not_refused",), watch="exact_number")
    assert len(Watching(phase, [*without, rows[0]], 9).prompts) == 1
    with pytest.raises(RewardError, match="none of the 2 held-out rows has one"):
        Watching(phase, without, 9)
    free = Phase(method="grpo", max_steps=1, reward=("not_refused",))
    assert Watching(free, without, 9).look(["yes", "I can't help with that."])["probe_watch"] == 0.5


def test_rows_are_set_apart_for_methods_that_learn_from_rewards_only_and_never_many() -> None:
    rows: list[dict[str, Any]] = [{"id": n} for n in range(300)]
    online = Phase(method="rloo", max_steps=1, reward=("not_refused",))
    trained, held = set_apart(rows, online)
    assert (trained, held) == (rows[:-HELD_OUT], rows[-HELD_OUT:])
    assert [len(part) for part in set_apart(rows[:20], online)] == [16, 4]
    assert set_apart(rows[:4], online) == (rows[:4], [])
    assert set_apart(rows, Phase(max_steps=1)) == (rows, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"watch": "exact_number", "probe_every": 0}, "probe_every = 0 ignores watch"),
        ({"watch": "not_refused"}, "watch 'not_refused' is the trained reward"),
        ({"method": "dpo", "reward": (), "watch": "safety"}, "method 'dpo' ignores"),
    ],
)
def test_a_watch_that_would_say_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"method": "ppo", "max_steps": 1, "reward": ("not_refused",), **changes}
    with pytest.raises(ValueError, match=message):
        Phase(**given)
