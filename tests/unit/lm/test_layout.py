"""The packed layout: every token at one place and in its own position, and who sees whom."""

from dataclasses import dataclass
from itertools import chain

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.lm.layout import Document, Layout, PackedPairs, lay_out, may_see, pack_pairs

PAD = 9
quick = settings(deadline=None, max_examples=60)

# few distinct ids, so that answers begin alike, are the same, or one is the other's beginning, often
tokens = st.lists(st.integers(0, 2), max_size=5)
pairs = st.lists(
    st.tuples(tokens, tokens, tokens).filter(lambda pair: all(pair[0] + answer for answer in pair[1:])),
    min_size=1,
    max_size=4,
)
documents = st.lists(
    st.builds(Document, st.integers(0, 6), st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple)), max_size=4
)


@dataclass
class Batch:
    rows: list[list[int]]
    ids: torch.Tensor
    mask: torch.Tensor


def collate(some: list[tuple[list[int], list[int], list[int]]], left: list[bool]) -> Batch:
    """Padded as TRL does, but each row on the side that ``left`` says."""
    rows = [prompt + chosen for prompt, chosen, _ in some] + [prompt + rejected for prompt, _, rejected in some]
    width = max(map(len, rows)) + 2
    ids, mask = torch.full((len(rows), width), PAD), torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        begin = width - len(row) if left[number % len(left)] else 0
        ids[number, begin : begin + len(row)] = torch.tensor(row, dtype=torch.long)
        mask[number, begin : begin + len(row)] = 1
    return Batch(rows, ids, mask)


def packed(batch: Batch) -> PackedPairs:
    return pack_pairs(batch.ids, batch.mask)


def own_places(layout: Layout) -> list[tuple[int, int, int]]:
    """(document, branch, position) of every token, written out one by one."""
    return list(
        chain.from_iterable(
            [(number, 0, i) for i in range(one.prefix)]
            + [(number, 1 + b, one.prefix + i) for b, length in enumerate(one.branches) for i in range(length)]
            for number, one in enumerate(layout.documents)
        )
    )


def slow_sight(layout: Layout, window: int | None) -> list[list[bool]]:
    """Who sees whom, from every branch as a sequence of its own: causal, and at most ``window`` tokens back."""
    places = own_places(layout)
    sees = [[False] * len(places) for _ in places]
    for number, one in enumerate(layout.documents):
        for branch in range(1, len(one.branches) + 1):
            sequence = [i for i, (d, b, _) in enumerate(places) if d == number and b in (0, branch)]
            for at, query in enumerate(sequence):
                for key in sequence[: at + 1] if window is None else sequence[max(0, at + 1 - window) : at + 1]:
                    sees[query][key] = True
    return sees


@quick
@given(documents)
def test_tokens_lie_document_by_document_and_every_branch_goes_on_behind_the_prefix(some: list[Document]) -> None:
    layout = lay_out(some)
    found = zip(layout.document.tolist(), layout.branch.tolist(), layout.positions.tolist(), strict=True)
    assert list(found) == own_places(layout)
    assert layout.length == sum(one.length for one in some)
    assert layout.starts == [sum(one.length for one in some[:i]) for i in range(len(some))]


@quick
@given(documents, st.one_of(st.none(), st.integers(1, 8)))
def test_a_token_sees_its_own_sequence_up_to_itself_and_nothing_else(some: list[Document], window: int | None) -> None:
    layout = lay_out(some)
    index = torch.arange(layout.length)
    assert may_see(layout, index[:, None], index[None, :], window).tolist() == slow_sight(layout, window)


def test_the_longest_sequence_of_a_document_is_its_prefix_with_its_longest_branch() -> None:
    assert Document(3, (2, 5, 4)).longest == 8
    assert Document(3, (0, 0)).longest == 3


@quick
@given(pairs, st.lists(st.booleans(), min_size=1, max_size=8))
def test_every_real_token_is_found_again_whatever_side_the_padding_is_on(
    some: list[tuple[list[int], list[int], list[int]]], left: list[bool]
) -> None:
    batch = collate(some, left)
    result, real = packed(batch), batch.mask.bool()
    assert result.layout.length == len(result.tokens) == sum(one.length for one in result.layout.documents)
    assert (batch.ids.flatten()[result.tokens][result.packed] == batch.ids)[real].all()
    assert real.flatten()[result.tokens].all(), "no padding is packed"
    assert len(set(result.tokens.tolist())) == len(result.tokens), "no token is packed twice"
    assert (result.packed[~real] == 0).all()
    for number in range(len(batch.rows)):
        at = result.packed[number][real[number]]
        assert len(set(at.tolist())) == len(batch.rows[number])
        assert result.layout.positions[at].tolist() == list(range(len(batch.rows[number])))
        assert (result.layout.document[at] == number % len(some)).all()
        branch = 1 + number // len(some)
        assert set(result.layout.branch[at].tolist()) <= {0, branch}


@quick
@given(pairs, st.lists(st.booleans(), min_size=1, max_size=8))
def test_in_the_packed_sequence_each_row_sees_itself_causally(
    some: list[tuple[list[int], list[int], list[int]]], left: list[bool]
) -> None:
    batch = collate(some, left)
    result = packed(batch)
    everything = torch.arange(result.layout.length)
    for number, row in enumerate(batch.rows):
        at = result.packed[number][batch.mask[number].bool()]
        assert may_see(result.layout, at[:, None], at[None, :], None).equal(
            torch.ones(len(row), len(row)).tril().bool()
        )
        others = everything[~torch.isin(everything, at)]
        assert not may_see(result.layout, at[:, None], others[None, :], None).any()


@quick
@given(pairs)
def test_the_prefix_is_all_that_both_sequences_begin_with(some: list[tuple[list[int], list[int], list[int]]]) -> None:
    batch = collate(some, [False])
    found = packed(batch).layout.documents
    for one, chosen, rejected in zip(found, batch.rows[: len(some)], batch.rows[len(some) :], strict=True):
        assert chosen[: one.prefix] == rejected[: one.prefix]
        assert one.branches == (len(chosen) - one.prefix, len(rejected) - one.prefix)
        ahead = chosen[one.prefix : one.prefix + 1], rejected[one.prefix : one.prefix + 1]
        assert not (ahead[0] and ahead[1] and ahead[0] == ahead[1])


def test_some_pairs_are_packed_as_written_here() -> None:
    for pair, document in (
        (([5, 6], [1, 2], [3]), Document(2, (2, 1))),
        (([], [1, 2], [3]), Document(0, (2, 1))),
        (([5], [1, 2], [1, 2]), Document(3, (0, 0))),  # the same answer twice
        (([5], [1], [1, 2]), Document(2, (0, 1))),  # one the other's beginning
        (([5], [1, 2], [1]), Document(2, (1, 0))),
        (([5], [1], [2]), Document(1, (1, 1))),
        (([5], [1, 2, 3], [1, 7, 3]), Document(2, (2, 2))),  # alike again behind a difference: not the prefix
        (([], [1], [1]), Document(1, (0, 0))),
    ):
        for left in (True, False):
            assert packed(collate([pair], [left])).layout.documents == (document,), pair


def test_padding_that_looks_like_a_token_is_no_part_of_the_prefix() -> None:
    ids = torch.tensor([[1, PAD, PAD, PAD], [1, PAD, PAD, 2]])
    result = pack_pairs(ids, torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1]]))
    assert result.layout.documents == (Document(1, (0, 3)),)
