"""Online DPO: who is best and worst, the loss against its equation, and a task that it learns."""

import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig  # pyright: ignore[reportPrivateImportUsage]

from benchmarks.ppo_toy import LENGTH, SYMBOLS, make_model, mean_reward, share_right
from tasks.align.online.build import drawn_at_once
from tasks.align.online.dpo import OnlineDPOTrainer
from tasks.align.online.ranking import pair_loss, ranked
from tasks.phases import Phase

pytestmark = pytest.mark.usefixtures("one_thread")

SCORES = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=width, max_size=width), min_size=1)
)


@given(SCORES)
def test_the_best_earns_most_the_worst_least_and_equal_ones_dont_differ(scores: list[list[float]]) -> None:
    found = ranked(torch.tensor(scores))
    for row, best, worst, differ in zip(scores, *(column.tolist() for column in found), strict=True):
        assert (row[best], row[worst]) == (max(row), min(row))
        assert row.index(row[best]) == best
        assert differ == (len(set(row)) > 1)


NATS = st.floats(-40, 0)


@given(st.lists(st.tuples(NATS, NATS, st.floats(-5, 5), st.booleans()), min_size=1, max_size=6), st.floats(0.01, 1))
def test_the_loss_is_the_equations_and_parts_add_up_to_the_step(
    rows: list[tuple[float, float, float, bool]], beta: float
) -> None:
    true = sum(math.log1p(math.exp(-beta * (c - r - m))) for c, r, m, differ in rows if differ) / len(rows)
    columns = [torch.tensor([float(one) for one in column], dtype=torch.float64) for column in zip(*rows, strict=True)]
    chosen, rejected, margins, marks = columns
    whole = pair_loss(chosen, rejected, margins, marks.bool(), beta, len(rows))
    assert float(whole.value) == pytest.approx(true, abs=1e-9)
    parts = [
        pair_loss(chosen[i : i + 1], rejected[i : i + 1], margins[i : i + 1], marks[i : i + 1].bool(), beta, len(rows))
        for i in range(len(rows))
    ]
    assert float(sum(part.value for part in parts)) == pytest.approx(true, abs=1e-9)
    right = [c - r - m > 0 for c, r, m, differ in rows if differ]
    assert float(whole.accuracy) == pytest.approx(sum(right) / max(len(right), 1))


def test_pairs_that_dont_differ_move_nothing() -> None:
    chosen, rejected = (torch.tensor([-3.0], requires_grad=True) for _ in range(2))
    pair_loss(chosen, rejected, torch.zeros(1), torch.tensor([False]), 0.1, 4).value.backward()
    assert (chosen.grad, rejected.grad) == (torch.zeros(1), torch.zeros(1))


def test_a_part_holds_whole_groups_of_which_two_answers_go_through_the_model() -> None:
    phase = Phase.model_validate({"method": "online_dpo", "reward": "safety", "max_steps": 1, "group_size": 4})
    # 6 prompts, answers of 10 tokens: room for 60 tokens is room for three pairs
    assert [drawn_at_once(phase, 6, 10, tokens) for tokens in (1, 20, 60, 1000)] == [4, 4, 12, 24]


def test_it_learns_what_earns_more_from_its_own_answers(tmp_path: Path) -> None:
    start = make_model(tmp_path / "start")
    arguments = GRPOConfig(
        output_dir=str(tmp_path / "out"), max_steps=160, seed=0, learning_rate=5e-3, per_device_train_batch_size=64,
        steps_per_generation=1, num_iterations=1, num_generations=8, max_completion_length=LENGTH, beta=0.1,
        use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, save_strategy="no", disable_dropout=True,
        gradient_checkpointing=False, shuffle_dataset=False, logging_steps=1,
    )  # fmt: skip
    made = OnlineDPOTrainer(
        model=LlamaForCausalLM.from_pretrained(start),
        processing_class=PreTrainedTokenizerFast.from_pretrained(start),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": symbol}]} for symbol in SYMBOLS]),
        reward_funcs=[share_right],
    )
    before = mean_reward(made)
    made.train()
    after = mean_reward(made)
    assert before < 0.15
    assert after > 0.6, made.state.log_history[-3:]
