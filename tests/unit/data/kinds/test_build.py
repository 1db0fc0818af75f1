"""From a record to what is made of it: the examples give what the golden files hold, and nothing breaks an importer."""

import contextlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.jsonl import load_lines
from infra.settings import ROOT
from tasks import data_spec
from tasks.data.kinds import documents
from tasks.data.kinds.build import FORMS, build
from tasks.data.records import Record
from tasks.data.rows import Built
from tests.unit.data.kinds.records import NO, USER, YES, any_record, any_value, built, record

EXAMPLES = sorted((ROOT / "recipes" / "examples" / "data").glob("*.jsonl"))
GOLDEN = ROOT / "tests" / "golden" / "kinds"


def lean(one: Built) -> dict[str, Any]:
    """Its fields that are no default, as a golden file holds them."""
    return {
        field.name: found for field in fields(one) if (found := getattr(one, field.name)) != field.default
    }  # fmt: skip


def become(path: Path, form: str) -> list[list[dict[str, Any]]]:
    kind = path.stem.partition("-")[0]
    lines = path.read_bytes().splitlines()
    return [[lean(one) for one in build(kind, form, Record(json.loads(line), line, 1))] for line in lines]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_becomes_what_its_golden_file_holds(path: Path) -> None:
    form = path.stem.partition("-")[2]
    golden = load_lines((GOLDEN / path.name).read_bytes())
    assert become(path, form or "auto") == golden
    assert become(path, "auto") == golden  # and its form is told from its keys
    assert any(golden)


def test_every_form_has_an_example() -> None:
    shown = {tuple(path.stem.split("-", 1)) if "-" in path.stem else (path.stem, "auto") for path in EXAMPLES}
    forms = {(kind, form) for kind in FORMS for form in FORMS[kind] if form != "auto" or kind == "conversations"}
    assert forms - shown == {("pairs", "ratings-all")}  # the example of `ratings`, read otherwise


def test_a_record_that_several_rows_are_made_of_gives_each_its_own_id() -> None:
    for path in EXAMPLES:
        ids = [one["id"] for several in become(path, "auto") for one in several]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("kind", "form", "reason"),
    [
        ("documents", "auto", "no kind 'documents' of records, only pairs, labels, conversations"),
        ("pairs", "alpaca", "no form 'alpaca' of pairs, only auto, trl, hh, llama-factory, axolotl, ratings"),
    ],
)
def test_an_unknown_kind_or_form_is_refused_with_those_there_are(kind: str, form: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build(kind, form, record({"prompt": "q"}))


def test_a_record_of_no_known_form_is_refused_with_its_keys_and_the_forms() -> None:
    with pytest.raises(ValueError, match=r"no chosen.*\['prompt', 'text'\].*forms of pairs are auto, trl, hh"):
        built("pairs", {"prompt": "q", "text": "y"})


@pytest.mark.parametrize("place", ["prompt", "chosen", "rejected", "tenant"])
def test_half_a_character_is_refused_wherever_it_stands(place: str) -> None:
    value = {"prompt": "q", "chosen": "y", "rejected": "n", "tenant": "t"}
    assert built("pairs", value)
    with pytest.raises(ValueError, match="not Unicode text"):
        built("pairs", value | {place: "\ud83d"})
    assert built("pairs", value | {place: "whole: \U0001f600"})  # which JSON spells as two halves


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-11-04T10:00:00Z", "2026-11-04T10:00:00Z"),
        ("yesterday", "yesterday"),  # the check of timestamps names it
        (1_762_250_400, "2025-11-04T10:00:00+00:00"),
        (1_762_250_400_000, "2025-11-04T10:00:00+00:00"),
        ([], None),
    ],
)
def test_times_are_kept_as_iso_text(given: Any, kept: str | None) -> None:
    (one,) = built("pairs", {"prompt": "q", "chosen": "y", "rejected": "n", "created_at": given})
    assert one.timestamp == kept


def test_tenant_annotator_and_models_are_kept() -> None:
    own = {"id": 7, "tenant": "acme", "annotator": 12, "chosen_model": "a", "rejected_model": "b"}
    (one,) = built("pairs", {"prompt": [USER], "chosen": [YES], "rejected": [NO], **own})
    assert (one.id, one.tenant, one.annotator, one.chosen_model, one.rejected_model) == ("7", "acme", "12", "a", "b")


def check(found: list[Built]) -> None:
    """What any importer's rows are: whole, and such that Arrow takes them."""
    for one in found:
        parts = (one.prompt, one.chosen, one.rejected)
        assert all(turn.keys() == {"role", "content"} for part in parts for turn in part)
        assert one.prompt
        assert (bool(one.chosen), bool(one.rejected)) == (one.label is not False, one.label is not True)
        assert (one.kind == "label") == (one.label is not None)
        assert 0 < one.weight <= 1
        names = [one.id, one.annotator, one.timestamp, one.tenant, one.chosen_model, one.rejected_model, one.citation]
        assert pa.array([*names, *(text for part in parts for turn in part for text in turn.values())], pa.string())


IMPORTERS = [(kind, form) for kind in FORMS for form in FORMS[kind]]


@settings(max_examples=60, deadline=None)
@given(any_record, st.sampled_from(IMPORTERS))
def test_no_record_raises_anything_but_a_reason(value: dict[str, Any], importer: tuple[str, str]) -> None:
    with contextlib.suppress(ValueError):
        check(build(*importer, record(value)))


RECORDS = [(path.stem.partition("-")[0], one) for path in EXAMPLES for one in load_lines(path.read_bytes())]


def damage(value: Any, where: list[int], other: Any) -> Any:
    """The value with another in the place that ``where`` leads to."""
    if not where or not isinstance(value, dict | list) or not value:
        return other
    if isinstance(value, dict):
        name = list(value)[where[0] % len(value)]
        return {**value, name: damage(value[name], where[1:], other)}
    place = where[0] % len(value)
    return [*value[:place], damage(value[place], where[1:], other), *value[place + 1 :]]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(RECORDS), st.lists(st.integers(0, 9), min_size=1, max_size=5), any_value)
def test_a_damaged_record_gives_rows_or_a_reason(
    example: tuple[str, dict[str, Any]], where: list[int], other: Any
) -> None:
    kind, value = example
    with contextlib.suppress(ValueError):
        check(built(kind, damage(value, where, other)))


def test_a_recipe_may_name_the_forms_that_there_are_importers_for() -> None:
    assert {kind: set(forms) for kind, forms in data_spec.FORMS.items() if kind != "documents"} == {
        kind: set(forms) for kind, forms in FORMS.items()
    }
    assert data_spec.FORMS["documents"] == documents.FORMS
