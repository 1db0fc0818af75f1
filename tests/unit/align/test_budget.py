"""Parts of a step: every pair in one of them, within the memory, and together the step itself."""

import math
from inspect import getsource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.align.budget import BY_TOKENS, COUPLED, shares, split

quick = settings(deadline=None, max_examples=200)
lengths = st.lists(st.integers(1, 60), max_size=24)
budgets = st.integers(1, 120)


@quick
@given(lengths, budgets)
def test_every_pair_is_in_one_part_and_no_part_is_empty(some: list[int], most: int) -> None:
    found = split(some, most)
    assert sorted(index for part in found for index in part) == list(range(len(some)))
    assert all(found)
    assert all(part == sorted(part) for part in found), "a part keeps the batch's order"


@quick
@given(lengths, budgets)
def test_a_part_is_within_the_budget_or_a_single_pair(some: list[int], most: int) -> None:
    for part in split(some, most):
        assert len(part) == 1 or sum(some[index] for index in part) <= most


@quick
@given(lengths, budgets)
def test_the_same_lengths_are_split_the_same_way(some: list[int], most: int) -> None:
    assert split(some, most) == split(tuple(some), most)


@quick
@given(lengths, budgets)
def test_two_parts_never_fit_into_one(some: list[int], most: int) -> None:
    sizes = [sum(some[index] for index in part) for part in split(some, most)]
    assert all(a + b > most for i, a in enumerate(sizes) for b in sizes[:i])


def test_some_batches_are_split_as_written_here() -> None:
    assert split([], 10) == []
    assert split([3, 4, 3], 10) == [[0, 1, 2]]
    assert split([3, 4, 4], 10) == [[1, 2], [0]]
    assert split([30, 4, 30], 10) == [[0], [2], [1]], "a pair that is longer than the budget stands alone"
    assert split([5, 5, 5, 5], 10) == [[0, 1], [2, 3]]


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Tokens of the chosen answer of each pair, and a split of the pairs."""
    tokens = draw(st.lists(st.integers(0, 40), min_size=1, max_size=16))
    return tokens, split([1 + 2 * one for one in tokens], draw(budgets))


def of_parts(losses: list[str], tokens: list[int], parts: list[list[int]], processes: int = 1) -> list[list[float]]:
    pairs, chosen = len(tokens) / processes, sum(tokens) / processes
    return [shares(losses, (len(part), pairs), (sum(tokens[i] for i in part), chosen)) for part in parts]


@quick
@given(steps())
def test_shares_of_all_parts_are_the_whole_step_for_every_loss(step: tuple[list[int], list[list[int]]]) -> None:
    tokens, parts = step
    by_pairs, by_tokens = zip(*of_parts(["sigmoid", "sft"], tokens, parts), strict=True)
    assert math.isclose(sum(by_pairs), 1)
    assert math.isclose(sum(by_tokens), 1 if sum(tokens) else 0)


@quick
@given(steps())
def test_means_of_parts_weighed_by_their_shares_are_the_mean_of_the_step(
    step: tuple[list[int], list[list[int]]],
) -> None:
    tokens, parts = step
    of_pair = [float((7 * i) % 5) - 2 for i in range(len(tokens))]  # a loss that is a mean over pairs
    of_token = [float((3 * i) % 7) + 1 for i in range(len(tokens))]  # a mean over tokens, alike within a pair
    total = [0.0, 0.0]
    for part, (by_pairs, by_tokens) in zip(parts, of_parts(["ipo", "sft"], tokens, parts), strict=True):
        total[0] += by_pairs * sum(of_pair[i] for i in part) / len(part)
        inside = sum(tokens[i] for i in part)
        total[1] += by_tokens * (sum(of_token[i] * tokens[i] for i in part) / inside if inside else 0.0)
    assert total[0] == pytest.approx(sum(of_pair) / len(tokens), abs=1e-9)
    whole = sum(one * count for one, count in zip(of_token, tokens, strict=True)) / max(sum(tokens), 1)
    assert total[1] == pytest.approx(whole, abs=1e-9)


@quick
@given(steps(), st.integers(2, 4))
def test_processes_average_their_gradients_so_their_shares_are_of_a_process(
    step: tuple[list[int], list[list[int]]], processes: int
) -> None:
    tokens, parts = step
    every = of_parts(["sigmoid", "sft"], tokens, parts, processes)
    mean = [sum(one[i] for one in every) / processes for i in range(2)]
    assert mean[0] == pytest.approx(1)
    # fewer tokens than processes are fewer than one token a process, which is not divided by
    if sum(tokens) >= processes:
        assert mean[1] == pytest.approx(1)


def test_losses_keep_their_order_and_a_step_without_tokens_has_no_share() -> None:
    assert shares(["sft", "sigmoid", "sft"], (1, 4), (30, 40)) == [0.75, 0.25, 0.75]
    assert shares(["sft"], (1, 1), (0, 0)) == [0.0]
    assert shares([], (1, 1), (1, 1)) == []


def test_losses_that_look_beyond_a_pair_are_those_of_trl() -> None:
    """In TRL's own code: what sorts a batch, and what averages over all of its tokens."""
    from trl.trainer import dpo_trainer

    branches = getsource(dpo_trainer).split('if loss_type == "')[1:]
    bodies = {one.split('"')[0]: one.split("else:\n                raise")[0] for one in branches}
    assert {name for name, body in bodies.items() if "torch.sort" in body} == COUPLED
    assert {name for name, body in bodies.items() if ".mean()" in body} - {"sigmoid_norm"} == BY_TOKENS
