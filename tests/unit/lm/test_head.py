"""The tiled LM head against torch's own log_softmax over all logits at once."""

from typing import Any

import pytest
import torch

from tasks.lm import head
from tasks.lm.head import EXTRAS, Scored, Shape, score_tokens, shape_of

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 7
SHAPES = [Shape(), Shape(scale=0.25), Shape(cap=3.0), Shape(scale=2.0, cap=5.0)]


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 tokens by 8 words, so that small inputs cross several."""
    monkeypatch.setattr(head, "TOKENS", 4)
    monkeypatch.setattr(head, "WORDS", 8)


def inputs(count: int, words: int, seed: int = 0, spread: float = 1.0) -> Any:
    """Hidden states, weight, bias, targets, and how much each log-probability counts in a loss."""
    numbers = torch.Generator().manual_seed(seed)
    hidden, weight, bias, counts = (
        torch.randn(*size, generator=numbers) for size in ((count, WIDTH), (words, WIDTH), (words,), (count,))
    )
    return hidden * spread, weight, bias, torch.randint(0, words, (count,), generator=numbers), counts


def plainly(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor, shape: Shape
) -> Scored:
    """The same from all logits at once, in float64."""
    logits = hidden.double() @ weight.double().t()
    logits = shape.scale * (logits if bias is None else logits + bias.double())
    if shape.cap is not None:
        logits = shape.cap * torch.tanh(logits / shape.cap)
    every = logits.log_softmax(-1)
    return Scored(
        log_probs=every.gather(1, targets[:, None])[:, 0],
        entropy=-(every.exp() * every).sum(1),
        mean_logits=logits.mean(1),
        is_top1=logits.argmax(1) == targets if len(logits) else torch.zeros(0, dtype=torch.bool),
        log_sum_sq_probs=(2 * every).logsumexp(1),
    )


def assert_alike(ours: Scored, theirs: Scored, **tolerance: Any) -> None:
    for name in ("log_probs", *EXTRAS):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine.shape == other.shape
        if name == "is_top1":
            assert mine.equal(other)
        else:
            assert mine.dtype == torch.float32
            torch.testing.assert_close(mine.double(), other, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


ROUNDING: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("words", [1, 7, 8, 9, 21])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
def test_every_value_is_that_of_the_whole_softmax_at_every_edge_of_the_tiles(count: int, words: int) -> None:
    for shape in SHAPES:
        for with_bias in (False, True):
            hidden, weight, bias, targets, _ = inputs(count, words)
            bias = bias if with_bias else None
            # with a gradient the sums are taken on other ways than without
            for asks in (False, True):
                hidden.requires_grad_(asks)
                ours = score_tokens(hidden, weight, bias, targets, shape, EXTRAS)
                assert_alike(ours, plainly(hidden.detach(), weight, bias, targets, shape), **ROUNDING)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("trained", ["", "w", "b", "wb", "h", "hb", "hw", "hwb"])
def test_gradients_are_those_of_the_whole_softmax(trained: str, shape: Shape) -> None:
    for count, words in ((1, 8), (5, 9), (9, 21), (0, 9)):
        hidden, weight, bias, targets, counts = inputs(count, words)
        sides = {"h": hidden, "w": weight, "b": bias}
        asked = [sides[name].requires_grad_() for name in trained]
        ours = score_tokens(hidden, weight, bias, targets, shape).log_probs
        assert ours.requires_grad == bool(asked)
        if not asked:
            continue
        found = torch.autograd.grad((ours * counts).sum(), asked)
        expected = torch.autograd.grad((plainly(hidden, weight, bias, targets, shape).log_probs * counts).sum(), asked)
        for mine, other in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small_tiles")
def test_a_head_without_a_bias_has_the_same_gradients() -> None:
    for trained in (False, True):
        hidden, weight, _, targets, counts = inputs(6, 19)
        asked = [hidden.requires_grad_(), *([weight.requires_grad_()] if trained else [])]
        found = torch.autograd.grad(
            (score_tokens(hidden, weight, None, targets, Shape()).log_probs * counts).sum(), asked
        )
        whole = (plainly(hidden, weight, None, targets, Shape()).log_probs * counts).sum()
        for mine, other in zip(found, torch.autograd.grad(whole, asked), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_only_what_is_asked_for_is_computed() -> None:
    hidden, weight, bias, targets, _ = inputs(5, 9)
    whole = score_tokens(hidden, weight, bias, targets, Shape(), EXTRAS)
    assert all(getattr(score_tokens(hidden, weight, bias, targets, Shape()), name) is None for name in EXTRAS)
    for name in EXTRAS:
        alone = score_tokens(hidden, weight, bias, targets, Shape(), (name,))
        assert [other for other in EXTRAS if getattr(alone, other) is not None] == [name]
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name))
        torch.testing.assert_close(alone.log_probs, whole.log_probs)


def test_what_is_only_looked_at_carries_no_gradient() -> None:
    hidden, weight, bias, targets, _ = inputs(5, 9)
    scored = score_tokens(hidden.requires_grad_(), weight, bias, targets, Shape(), EXTRAS)
    assert scored.log_probs.requires_grad
    assert not any(getattr(scored, name).requires_grad for name in EXTRAS)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("trained", [False, True])
def test_extreme_logits_neither_overflow_nor_lose_the_gradient(trained: bool) -> None:
    hidden, weight, bias, targets, counts = inputs(9, 21, spread=1e4)
    asked = [hidden.requires_grad_(), *([weight.requires_grad_()] if trained else [])]
    ours = score_tokens(hidden, weight, bias, targets, Shape(), EXTRAS)
    # float32 has seven digits of a logit of 1e4
    assert_alike(ours, plainly(hidden.detach(), weight.detach(), bias, targets, Shape()), rtol=1e-5, atol=2e-2)
    found = torch.autograd.grad((ours.log_probs * counts).sum(), asked)
    whole = (plainly(hidden, weight, bias, targets, Shape()).log_probs * counts).sum()
    for mine, other in zip(found, torch.autograd.grad(whole, asked), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("at", [0, 7, 8, 20])
def test_one_word_far_above_the_others_in_any_tile_takes_everything(at: int) -> None:
    hidden, weight, _, _, _ = inputs(5, 21)
    bias = torch.zeros(21)
    bias[at] = 1e4
    scored = score_tokens(hidden, weight, bias, torch.full((5,), at), Shape(), EXTRAS)
    assert scored.is_top1 is not None
    assert scored.is_top1.all()
    for name, value in (("log_probs", 0.0), ("entropy", 0.0), ("log_sum_sq_probs", 0.0)):
        torch.testing.assert_close(getattr(scored, name), torch.full((5,), value), rtol=0, atol=5e-3)


@pytest.mark.usefixtures("small_tiles")
def test_of_equal_logits_the_first_word_is_the_best_as_in_trl() -> None:
    weight = torch.zeros(21, WIDTH)
    scored = score_tokens(torch.ones(21, WIDTH), weight, None, torch.arange(21), Shape(), EXTRAS)
    assert scored.is_top1 is not None
    assert scored.is_top1.tolist() == [True] + [False] * 20


def test_a_logit_that_is_not_a_number_shows_in_its_own_token_only() -> None:
    hidden, weight, bias, targets, _ = inputs(3, 9)
    hidden[1, 0] = float("nan")
    assert score_tokens(hidden, weight, bias, targets, Shape()).log_probs.isnan().tolist() == [False, True, False]


def saved_shapes(**trained: bool) -> list[tuple[int, ...]]:
    """Shapes that are kept for the backward pass of 50 tokens over 300 words."""
    hidden, weight, bias, targets, _ = inputs(50, 300)
    hidden.requires_grad_()
    weight.requires_grad_(trained.get("weight", False))
    kept: list[tuple[int, ...]] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        score_tokens(hidden, weight, bias, targets, Shape(), EXTRAS)
    return kept


def test_a_frozen_head_keeps_one_vector_a_token_and_a_trained_one_no_logits_either() -> None:
    assert saved_shapes() == [(50, WIDTH)]
    assert not [shape for shape in saved_shapes(weight=True) if set(shape) >= {50, 300}]


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("trained", [False, True])
def test_bfloat16_stays_near_float32_and_gradients_keep_their_type(trained: bool) -> None:
    hidden, weight, bias, targets, counts = inputs(9, 21)
    half: Any = tuple(one.bfloat16() for one in (hidden, weight, bias))
    asked = [half[0].requires_grad_(), *([half[1].requires_grad_()] if trained else [])]
    scored = score_tokens(half[0], half[1], half[2], targets, Shape(), EXTRAS)
    whole = plainly(half[0].detach(), half[1].detach(), half[2], targets, Shape())
    torch.testing.assert_close(scored.log_probs.double(), whole.log_probs, rtol=0, atol=0.1)
    found = torch.autograd.grad((scored.log_probs * counts).sum(), asked)
    expected = torch.autograd.grad(
        (plainly(half[0], half[1], half[2], targets, Shape()).log_probs * counts).sum(), asked
    )
    for mine, other in zip(found, expected, strict=True):
        assert mine.dtype == torch.bfloat16
        torch.testing.assert_close(mine, other, rtol=0.1, atol=0.1)


class _Config:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def get_text_config(self) -> "_Config":
        return self


def test_a_cap_is_read_from_the_configuration_and_unknown_factors_are_refused() -> None:
    assert shape_of(_Config()) == Shape()
    assert shape_of(_Config(final_logit_softcapping=30.0)) == Shape(cap=30.0)
    assert shape_of(_Config(logit_scale=None, final_logit_softcapping=None)) == Shape()
    for name in ("logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier"):
        assert shape_of(_Config(**{name: 0.5})) is None
