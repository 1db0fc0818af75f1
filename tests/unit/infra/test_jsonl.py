"""JSON Lines: whatever characters a text holds, a record stays one line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.jsonl import dump_lines, load_lines


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=8))
def test_records_come_back_as_they_were(records: list[dict[str, Any]]) -> None:
    assert load_lines(dump_lines(records)) == records


def test_line_separators_inside_a_text_do_not_cut_it() -> None:
    assert load_lines(dump_lines([{"t": "a\u2028b\x85c\x0bd\r\n"}, 2])) == [{"t": "a\u2028b\x85c\x0bd\r\n"}, 2]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_lines([float("nan")])
