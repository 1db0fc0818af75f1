"""Digests: one form for equal values, an error that names the field for what has no form."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.digest import Record, canonical_json, code_revision, digest_bytes, digest_file, digest_of, short
from infra.errors import UnstableValue

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Point(Record):
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"note"})

    x: float
    y: float = 0.0
    note: str = ""


@given(JSON)
def test_canonical_json_says_the_same_as_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


def test_a_digest_is_the_sha256_of_its_canonical_form() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'.encode()
    # sha256 of `{}`, from the sha256sum command
    assert digest_of({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert short(digest_of({})) == "44136fa3"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, math.nan]}, r"\$\.a\[1\] is nan"),
        ({"a": math.inf}, r"\$\.a is inf"),
        ({"a": {1, 2}}, r"\$\.a is a set"),
        ({"a": {"b": Path("/x")}}, r"\$\.a\.b is a PosixPath"),
        ({"a": {3: 1}}, r"\$\.a has the key 3"),
        ({"a": b"x"}, r"\$\.a is a bytes"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_its_place(value: Any, where: str) -> None:
    with pytest.raises(UnstableValue, match=where):
        digest_of(value)


def test_dates_have_a_form() -> None:
    assert digest_of(date(2026, 11, 25)) == digest_of("2026-11-25")


def test_a_record_is_what_its_identity_says_and_not_its_notes() -> None:
    assert Point(x=1).digest == Point(x=1, note="seen on Monday").digest
    assert Point(x=1).digest != Point(x=2).digest
    assert Point(x=1).model_copy(update={"x": 2.0}).digest == Point(x=2).digest


def test_a_record_refuses_unknown_fields_nan_and_changes() -> None:
    with pytest.raises(ValidationError, match="z"):
        Point.model_validate({"x": 1, "z": 2})
    with pytest.raises(ValidationError, match="finite"):
        Point(x=math.nan)
    with pytest.raises(ValidationError, match="frozen"):
        Point(x=1).x = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_a_files_digest_is_that_of_its_bytes_also_beyond_one_chunk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # 2.3 MB
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == digest_bytes(data)


def test_the_codes_revision_follows_code_and_templates_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    before = code_revision(tmp_path)
    (tmp_path / "notes.md").write_text("not code")
    assert code_revision(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2\n")
    changed = code_revision(tmp_path)
    assert changed != before
    (tmp_path / "page.html").write_text("<p>")
    assert code_revision(tmp_path) != changed
