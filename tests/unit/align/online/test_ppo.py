"""The PPO trainer: its rollouts and losses against the papers' equations, resumed to the same bytes, odd rewards."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, TrainerCallback

from benchmarks.ppo_toy import OPTIMUM, STEPS, SYMBOLS, make_model, make_trainer, mean_reward, share_right
from tasks.align.online import kept
from tasks.align.online.ppo import PPO
from tasks.align.online.rollout import draw_answers, refuse_long_prompts
from tasks.align.rewards.caller import Worker, modelled, verifiable
from tasks.errors import ModelError, RewardError
from tests.unit.align.online.test_advantages import slow_coefficient, slow_gae, slow_policy_loss, slow_value_loss

pytestmark = pytest.mark.usefixtures("one_thread")

LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("toy"))


def small(start: Path, out: Path, seed: int, steps: int = STEPS, **changes: Any) -> Any:
    """The toy's trainer with small rollouts: eight answers a prompt, two parts, four times each."""
    sizes = {"num_generations": 8, "steps_per_generation": 2, "num_iterations": 4, "learning_rate": 3e-3}
    return make_trainer(start, out, seed, steps, **(sizes | changes))


class StopAt(TrainerCallback):
    """Ends a training after a step, as a request to end does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


class Remember(TrainerCallback):
    """The rollouts and steps of a training, as it went."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.logs.append(dict(logs))


def plain_logps(model: Any, rows: list[list[int]], first: int) -> list[list[float]]:
    """Log-probabilities of each row's tokens from ``first`` on, by the model's plain forward, a row at a time."""
    found = []
    with torch.no_grad():
        for row in rows:
            words = model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
            found.append([float(words[at - 1, row[at]]) for at in range(first, len(row))])
    return found


# ---- a rollout and its loss, against the equations -------------------------------------------------------------------


def test_a_rollout_and_its_loss_are_those_of_the_equations(start: Path, tmp_path: Path) -> None:
    settings = PPO(kl_start=0.3, kl_target=0.5, gamma=0.9, lam=0.8, whiten_rewards=False, value_coefficient=0.7)
    made = small(start, tmp_path, 0, ppo=settings)
    torch.manual_seed(1)
    with torch.no_grad():  # a policy away from its reference, and values away from 0
        for parameter in made.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    rows = [{"prompt": [{"role": "user", "content": symbol}]} for symbol in "aaaaaaaabbbbbbbb"]
    made.model.train()
    out = made._generate_and_score_completions(rows)
    mask = out["completion_mask"]
    lengths = mask.sum(1).tolist()
    prompts = [[id_ for id_, seen in zip(*row, strict=True) if seen] for row in
               zip(out["prompt_ids"].tolist(), out["prompt_mask"].tolist(), strict=True)]  # fmt: skip
    texts = [p + a[:n] for p, a, n in zip(prompts, out["completion_ids"].tolist(), lengths, strict=True)]
    first = len(prompts[0])

    # log-probabilities, the reference's, and values, each by a plain forward of a row alone
    old = plain_logps(made.model, texts, first)
    reference = plain_logps(LlamaForCausalLM.from_pretrained(start), texts, first)
    head, values = made.model.value_head, []
    for row in texts:
        hidden = made.model.model(input_ids=torch.tensor([row])).last_hidden_state[0]
        values.append([float(hidden[at - 1] @ head.weight[0] + head.bias) for at in range(first, len(row))])
    for row, length in enumerate(lengths):
        assert out["old_logps"][row, :length].tolist() == pytest.approx(old[row], abs=1e-5)
        assert out["old_values"][row, :length].tolist() == pytest.approx(values[row], abs=1e-5)

    # what each token earns, advantages and returns
    answers = made.processing_class.batch_decode([row[first:] for row in texts], skip_special_tokens=True)
    scores = share_right([row["prompt"] for row in rows], answers)
    kl = [[p - q for p, q in zip(*pair, strict=True)] for pair in zip(old, reference, strict=True)]
    rewards = [[-0.3 * nats for nats in row] for row in kl]
    for row, score in zip(rewards, scores, strict=True):
        row[-1] += score
    advantages = [slow_gae(r, v, 0.9, 0.8) for r, v in zip(rewards, values, strict=True)]
    returns = [[a + v for a, v in zip(*pair, strict=True)] for pair in zip(advantages, values, strict=True)]
    numbers = [number for row in advantages for number in row]
    mean = sum(numbers) / len(numbers)
    deviation = math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers) + 1e-8)
    white = [[(number - mean) / deviation for number in row] for row in advantages]
    for row, length in enumerate(lengths):
        assert out["returns"][row, :length].tolist() == pytest.approx(returns[row], abs=1e-5)
        assert out["advantages"][row, :length].tolist() == pytest.approx(white[row], abs=2e-5)
    nats = [number for row in kl for number in row]
    assert made._metrics["train"]["kl"] == [pytest.approx(sum(nats) / len(nats), abs=1e-5)]
    assert made.coefficient == pytest.approx(slow_coefficient(0.3, sum(nats) / len(nats), 0.5), abs=1e-5)

    # the loss of a policy that has moved on since
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    new = plain_logps(made.model, texts, first)
    moved = []
    for row in texts:
        hidden = made.model.model(input_ids=torch.tensor([row])).last_hidden_state[0]
        moved.append([float(hidden[at - 1] @ head.weight[0] + head.bias) for at in range(first, len(row))])
    true = slow_policy_loss(new, old, white, 0.2) + 0.7 * slow_value_loss(moved, values, returns, 0.2)
    loss = made._compute_loss(made.model, {**out, "step_tokens": mask.sum()})
    assert float(loss) == pytest.approx(true, abs=1e-5)


def test_a_step_in_parts_is_the_step_in_one(start: Path, tmp_path: Path) -> None:
    weights = []
    for parts, size in ((1, 64), (4, 16)):
        made = small(
            start, tmp_path, 0, 4, per_device_train_batch_size=size, gradient_accumulation_steps=parts,
            steps_per_generation=parts, num_iterations=2,
        )  # fmt: skip
        made.train()
        weights.append(made.model.state_dict())
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_the_reference_of_an_adapter_is_the_base_without_it(start: Path, tmp_path: Path) -> None:
    made = small(start, tmp_path, 0, 16, peft_config=LORA, learning_rate=2e-2)
    assert made.ref_model is None
    made.train()
    base = LlamaForCausalLM.from_pretrained(start)
    row = made.processing_class("<s> a b c d", add_special_tokens=False)["input_ids"]
    drawn = made._padded([row[:2]], [row[2:]])
    (expected,), (policy,) = plain_logps(base, [row], 2), plain_logps(made.model, [row], 2)
    assert made._reference(drawn)[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert made._look(made.model, drawn)[0][0].tolist() == pytest.approx(policy, abs=1e-5)
    assert max(abs(p - q) for p, q in zip(policy, expected, strict=True)) > 1e-3


# ---- learning --------------------------------------------------------------------------------------------------------


def test_ppo_finds_the_optimum_and_a_policy_that_cant_see_its_rewards_does_not(start: Path, tmp_path: Path) -> None:
    seeing = small(start, tmp_path / "seeing", 0, 480)
    before = mean_reward(seeing)
    seeing.train()
    blind = small(start, tmp_path / "blind", 0, 240, blind=True)
    blind.train()
    assert before < 0.15 * OPTIMUM
    assert mean_reward(seeing) > 0.85 * OPTIMUM  # benchmarks/ppo_toy.py goes on to 95 %
    assert mean_reward(blind) < 0.3 * OPTIMUM


def test_the_seconds_of_a_step_are_told_by_part(start: Path, tmp_path: Path) -> None:
    remember = Remember()
    made = small(start, tmp_path, 0, 9, callbacks=[remember])
    made.train()
    steps = [log for log in remember.logs if "loss" in log]
    assert len(steps) == 9
    for number, step in enumerate(steps):
        fresh = number % 8 == 0  # a rollout serves two parts, four times each
        assert step["seconds/update"] > 0
        for part in ("rollout", "reward", "values"):
            assert (step[f"seconds/{part}"] > 0) == fresh
        assert ("reward" in step) == fresh


def test_rewards_of_several_kinds_add_up_by_their_weights(start: Path, tmp_path: Path) -> None:
    class Model:
        def rewards(self, prompts: Any, answers: Any) -> list[float]:
            return [float(len(answer)) for answer in answers]

    worker = Worker()
    made = small(
        start, tmp_path, 0, reward=[verifiable("not_refused", worker), modelled("house", Model())],
        reward_weights=[2.0, -0.5],
    )  # fmt: skip
    prompts = [[{"role": "user", "content": "a"}]] * 8
    answers = [[{"role": "assistant", "content": "b" * count}] for count in range(8)]
    scores = made._scores([{"prompt": prompt} for prompt in prompts], prompts, answers, [[1]] * 8)
    worker.close()
    assert scores.tolist() == [2.0 - 0.5 * count for count in range(8)]
    assert made._metrics["train"]["rewards/house/mean"] == [3.5]


# ---- resume ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "step"), [("adapter", 11), ("full", 11), ("adapter", 16)])
def test_a_training_ended_within_a_rollout_goes_on_to_the_same_bytes(
    kind: str, step: int, start: Path, tmp_path: Path
) -> None:
    changes: Any = {"peft_config": LORA} if kind == "adapter" else {}
    whole_log, first_log, second_log = Remember(), Remember(), Remember()
    whole = small(start, tmp_path / "whole", 0, 24, callbacks=[whole_log], **changes)
    whole.train()
    cut = small(start, tmp_path / "cut", 0, 24, callbacks=[first_log, StopAt(step)], **changes)
    cut.train()
    torch.manual_seed(99)  # another process begins with other numbers
    again = small(start, tmp_path / "cut", 0, 24, callbacks=[second_log], **changes)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / f"checkpoint-{step}"))
    assert again.coefficient == whole.coefficient
    one, other = whole.model.state_dict(), again.model.state_dict()
    assert any(name.startswith("value_head.") for name in one)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert untimed(whole_log.logs) == untimed(first_log.logs)[:step] + untimed(second_log.logs)


def untimed(logs: list[dict[str, float]]) -> list[dict[str, float]]:
    """The steps' metrics without what the clock said."""
    return [{key: value for key, value in log.items() if "seconds" not in key} for log in logs if "loss" in log]


def test_the_value_head_is_in_the_checkpoint_and_never_in_the_model(start: Path, tmp_path: Path) -> None:
    made = small(start, tmp_path / "run", 0, 3, callbacks=[StopAt(3)])
    made.train()
    checkpoint = tmp_path / "run" / "checkpoint-3"
    made.save_model(str(tmp_path / "out"))
    for folder in (checkpoint, tmp_path / "out"):
        assert not [name for name in load_file(folder / "model.safetensors") if "value" in name]
        loaded: Any = LlamaForCausalLM.from_pretrained(folder, output_loading_info=True)
        model, report = loaded
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert torch.equal(model.lm_head.weight, made.model.lm_head.weight)
    found = kept.read(checkpoint, "cpu")
    assert torch.equal(found.tensors["weight"], made.model.value_head.weight)
    assert float(found.tensors["weight"].abs().sum()) > 0
    assert (found.done, len(found.rollout)) == (3, 2)


def test_a_checkpoint_of_another_method_is_refused(start: Path, tmp_path: Path) -> None:
    made = small(start, tmp_path / "run", 0, 3, callbacks=[StopAt(3)])
    made.train()
    (tmp_path / "run" / "checkpoint-3" / kept.NUMBERS).unlink()
    with pytest.raises(ModelError, match=r"has no online\.json") as refused:
        small(start, tmp_path / "run", 0, 6).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert "--fresh" in refused.value.do


# ---- odd rewards -----------------------------------------------------------------------------------------------------


def test_rewards_that_are_all_equal_move_the_policy_nowhere(start: Path, tmp_path: Path) -> None:
    def equal(prompts: list[Any], **_: Any) -> list[float]:
        return [0.7] * len(prompts)

    remember = Remember()
    made = small(start, tmp_path, 0, 16, reward=equal, callbacks=[remember], ppo=PPO(value_coefficient=0.0))
    made.train()
    before = LlamaForCausalLM.from_pretrained(start).state_dict()
    after = made.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # and it is told
    told = [log["frac_reward_zero_std"] for log in remember.logs if "frac_reward_zero_std" in log]
    assert told == [1.0, 1.0]


def test_groups_without_signal_are_counted_beside_those_that_have_one(start: Path, tmp_path: Path) -> None:
    made = small(start, tmp_path, 0, reward=lambda prompts, **_: [])
    made._calculate_rewards = lambda *_: torch.tensor([[1.0]] * 8 + [[0.0]] * 7 + [[1.0]])
    prompts = ["a"] * 16
    made._scores([{}] * 16, prompts, prompts, prompts)
    assert made._metrics["train"]["frac_reward_zero_std"] == [0.5]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), None])
def test_a_reward_that_is_no_number_ends_the_training_and_loses_nothing(odd: Any, start: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def sometimes(prompts: list[Any], completions: list[Any], **_: Any) -> list[Any]:
        calls.append(1)
        found: list[Any] = share_right(prompts, completions)
        return [odd, *found[1:]] if len(calls) == 2 and mended == 0 else found

    mended = 0
    whole = small(start, tmp_path / "whole", 0, 24)
    whole.train()
    made = small(start, tmp_path / "run", 0, 24, reward=sometimes)
    with pytest.raises(RewardError, match=r"'sometimes'.*no finite number") as stopped:
        made.train()
    assert "run again" in stopped.value.do
    assert made.state.global_step == 8
    # the policy is as it was after the last whole step: kept there, it goes on to the same bytes
    made._save_checkpoint(made.model_wrapped, trial=None)
    mended = 1
    again = small(start, tmp_path / "run", 0, 24, reward=sometimes)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-8"))
    one, other = whole.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


# ---- rollouts --------------------------------------------------------------------------------------------------------


def test_answers_depend_on_their_seed_and_prompt_alone_and_differ_within_a_group(start: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(start)
    one, other = [1, 3], [1, 4]
    torch.manual_seed(0)
    drawn = draw_answers(model, [one] * 4 + [other] * 4, 4, 3, 1.0, seed=7)
    torch.manual_seed(1)
    assert draw_answers(model, [other] * 4 + [one] * 4, 4, 3, 1.0, seed=7) == drawn[4:] + drawn[:4]
    assert draw_answers(model, [one] * 4 + [other] * 4, 4, 3, 1.0, seed=8) != drawn
    assert len({tuple(answer) for answer in drawn[:4]}) > 1
    # the same prompt in two groups: eight answers, not four twice
    twice = draw_answers(model, [one] * 8, 4, 3, 1.0, seed=7)
    assert twice[:4] == drawn[:4]
    assert twice[4:] != drawn[:4]


def test_answers_come_with_the_probability_the_model_gives_them(start: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(start)
    drawn = draw_answers(model, [[1, 3]] * 4000, 4000, 1, 2.0, seed=0)
    with torch.no_grad():
        true = (model(input_ids=torch.tensor([[1, 3]])).logits[0, -1] / 2.0).softmax(-1)
    shares = torch.bincount(torch.tensor([answer[0] for answer in drawn]), minlength=len(true)) / 4000
    assert float((shares - true).abs().max()) < 0.03


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused_by_name(start: Path, tmp_path: Path) -> None:
    tokenizer = small(start, tmp_path, 0).processing_class
    rows = [
        {"id": f"row-{number}", "prompt": [{"role": "user", "content": " ".join(SYMBOLS[:number])}]}
        for number in range(1, 9)
    ]
    refuse_long_prompts(tokenizer, rows, 7, 16)
    refuse_long_prompts(tokenizer, rows, 700, None)
    with pytest.raises(ModelError, match=r"row-8 has 9 tokens.*answer of 9.*16.*; 2 of 8") as refused:
        refuse_long_prompts(tokenizer, rows, 9, 16)
    assert "max_new_tokens" in refused.value.do


def test_a_rollout_that_steps_dont_divide_is_refused(start: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a rollout of 3 parts isn't made of steps of 2"):
        small(start, tmp_path, 0, steps_per_generation=3, gradient_accumulation_steps=2, num_generations=2)
