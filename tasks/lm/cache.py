"""Keys and values of the rows that are being decoded, in tensors allocated once.

All rows end at the same column and begin where their prompts do. Sliding layers keep what is behind their window too,
so that a model's own masks, which count columns, hold.
"""

import math
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer


def layers_of(config: Any) -> int | None:
    """How many layers keep keys and values; None where one keeps something else (a state, a compressed key)."""
    layers = DynamicCache(config=config).layers
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    return len(layers) if layers and all(type(one) in plain for one in layers) else None


def shortest_window(config: Any) -> float:
    """Tokens of the shortest sliding window of any layer; infinite where there is none."""
    layers = DynamicCache(config=config).layers
    return min((one.sliding_window for one in layers if isinstance(one, DynamicSlidingWindowLayer)), default=math.inf)


class Rows(Cache):
    """Room for ``room`` rows of ``columns`` tokens.

    ``used`` rows are in use, in the columns from ``begin`` to ``end``. A forward reads and writes what ``view`` chose.
    """

    def __init__(self, layers: int, room: int, columns: int) -> None:
        self.room, self.columns = room, columns
        self.used = self.begin = self.end = 0
        self.view(slice(0, 0), 0, 0)
        super().__init__(layers=[_Layer(self) for _ in range(layers)])

    def view(self, rows: slice, begin: int, end: int) -> None:
        """Let the next forward see these columns of these rows, and write behind them."""
        self.seen, self.first, self.last = rows, begin, end

    def admit(self, rows: int, width: int, beginning: "Rows | None" = None) -> int:
        """Add rows of ``width`` columns, which the next forward fills, behind what the one row of ``beginning`` holds.

        Returns:
            the column at which they begin.
        """
        known = beginning.end if beginning else 0
        if not self.used:
            self.begin, self.end = 0, known + width
        begin = self.end - width - known
        new = slice(self.used, self.used + rows)
        if beginning:
            for layer, other in zip(self.layers, beginning.layers, strict=True):
                layer.fill(new, begin, other)  # pyright: ignore[reportAttributeAccessIssue]
        self.view(new, begin, begin + known)
        self.used += rows
        return begin

    def step(self, begin: int) -> int:
        """Make the next forward one more token of every row, the oldest of which begins at ``begin``.

        Returns:
            by how many columns everything moved to the left, where room had run out.
        """
        moved = 0
        if self.end == self.columns:
            for layer in self.layers:
                layer.move(slice(0, self.used), slice(begin, self.end))  # pyright: ignore[reportAttributeAccessIssue]
            moved, begin, self.end = begin, 0, self.end - begin
        self.begin = begin
        self.view(slice(0, self.used), begin, self.end)
        self.end += 1
        return moved

    def repeat(self, row: int) -> None:
        """Add a row that is another's copy."""
        self._copy(row, self.used)
        self.used += 1

    def drop(self, row: int) -> None:
        """Remove a row; the last one takes its place."""
        self.used -= 1
        if row != self.used:
            self._copy(self.used, row)

    def _copy(self, source: int, target: int) -> None:
        for layer in self.layers:
            layer.copy(source, target, slice(self.begin, self.end))  # pyright: ignore[reportAttributeAccessIssue]


class _Layer(CacheLayerMixin):
    """One layer's keys and values, of shape (room, heads, columns, width); allocated at the first forward."""

    supports_early_init = False

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows
        self.sides: list[torch.Tensor] = []

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        if self.is_initialized:
            return
        # zeros: what isn't written yet is masked, but 0 · NaN is NaN
        self.sides = [
            one.new_zeros((self.rows.room, one.shape[1], self.rows.columns, one.shape[3]))
            for one in (key_states, value_states)
        ]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.lazy_initialization(key_states, value_states)
        seen, first, last = self.rows.seen, self.rows.first, self.rows.last
        end = last + key_states.shape[2]
        for side, new in zip(self.sides, (key_states, value_states), strict=True):
            side[seen, :, last:end] = new
        keys, values = self.sides
        return keys[seen, :, first:end], values[seen, :, first:end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.rows.last - self.rows.first

    def get_max_length(self) -> int:
        return self.rows.columns

    def fill(self, rows: slice, column: int, other: "_Layer") -> None:
        """Put the one row that another layer holds into these rows."""
        self.lazy_initialization(*other.sides)
        for side, source in zip(self.sides, other.sides, strict=True):
            side[rows, :, column : column + source.shape[2]] = source

    def copy(self, source: int, target: int, columns: slice) -> None:
        for side in self.sides:
            side[target, :, columns] = side[source, :, columns]

    def move(self, rows: slice, columns: slice) -> None:
        for side in self.sides:
            side[rows, :, : columns.stop - columns.start] = side[rows, :, columns].clone()
