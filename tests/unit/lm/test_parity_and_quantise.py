"""What serves is what is judged: merged forms that are other models are refused, quantised weights are gguf's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from tasks.errors import ModelError
from tasks.lm.loading import load_model
from tasks.lm.parity import Parity, Probe, check, compare
from tasks.lm.quantise import put_through


def probe(*logprobs: float, greedy: tuple[int, ...] = (1, 2, 3)) -> Probe:
    return Probe(torch.tensor(logprobs), torch.tensor(greedy[: len(logprobs)]))


def test_parity_is_the_largest_gap_and_the_share_of_equal_greedy_tokens() -> None:
    before, after = probe(-1.0, -2.0, -3.0), probe(-1.0, -2.25, -3.0, greedy=(1, 2, 9))
    assert compare(before, after) == pytest.approx((0.25, 2 / 3))


def test_a_model_that_answers_nan_gives_no_parity_for_its_scorecards_will_say_so() -> None:
    assert compare(probe(-1.0), probe(float("nan"))) is None


def test_probes_of_other_tokens_or_of_none_are_refused() -> None:
    with pytest.raises(ModelError, match="can't be compared"):
        compare(probe(-1.0), probe(-1.0, -2.0))
    with pytest.raises(ModelError, match="can't be compared"):
        compare(probe(), probe())


@pytest.mark.parametrize(
    ("parity", "dtype", "refused"),
    [
        (Parity(0.009, 1.0), torch.float32, False),
        (Parity(0.011, 1.0), torch.float32, True),
        (Parity(0.0, 0.98), torch.float32, True),
        (Parity(0.4, 0.96), torch.bfloat16, False),
        (Parity(0.6, 1.0), torch.bfloat16, True),
        (Parity(float("nan"), 1.0), torch.float32, True),
    ],
)
def test_another_model_is_refused_by_gap_or_by_agreement(parity: Parity, dtype: torch.dtype, refused: bool) -> None:
    if not refused:
        check(parity, dtype)
        return
    with pytest.raises(ModelError, match="another one than base and adapter"):
        check(parity, dtype)


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return load_model(tiny_model, None, torch.float32, "cpu")


def test_quantised_weights_are_what_gguf_stores_and_norms_stay(model: Any) -> None:
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    count = put_through(model, "Q8_0")
    assert count == sum(weight.ndim == 2 for weight in before.values())
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            assert torch.equal(weight, before[name]), name
            continue
        kind = GGMLQuantizationType.Q8_0
        expected = dequantize(quantize(before[name].numpy(), kind), kind)
        np.testing.assert_array_equal(weight.detach().numpy(), expected, err_msg=name)
        assert not torch.equal(weight, before[name])
        assert float((weight - before[name]).abs().max()) < float(before[name].abs().max()) / 100


def test_coarser_types_are_further_away(model: Any, tiny_model: Path) -> None:
    other = load_model(tiny_model, None, torch.float32, "cpu")
    whole = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    put_through(model, "Q8_0")
    put_through(other, "Q4_0")

    def off(of: Any) -> float:
        return sum(float((weight - whole[name]).square().sum()) for name, weight in of.named_parameters())

    assert off(other) > 50 * off(model)


def test_rows_that_the_blocks_do_not_divide_are_refused_with_the_weights_name() -> None:
    odd = torch.nn.Linear(33, 4)
    with pytest.raises(ModelError, match=r"weight has rows of 33, which Q8_0's blocks of 32 don't divide"):
        put_through(odd, "Q8_0")
