"""Generated reasoning items: right, varied, the same from the same seed, and the ones that are shipped."""

import json
from collections import Counter
from itertools import combinations
from random import Random
from typing import Any

import pytest

from expectations.model.reasoning import generate, generators
from expectations.model.reasoning.generators import ALIKE, GENERATORS, SHIPPED, alike, as_line, grams
from expectations.model.reasoning.surface import numeric
from infra.settings import ROOT
from tasks.gate.answers import check_problem, right
from tasks.gate.suites import Item, parse_item
from tests.unit.gate import (
    solve_amounts,
    solve_dates,
    solve_directions,
    solve_logic,
    solve_orders,
    solve_patterns,
    solve_tables,
    solve_times,
    solve_words,
)  # fmt: skip

ALONE = (solve_words, solve_amounts, solve_tables, solve_orders, solve_logic, solve_dates, solve_times, solve_patterns)
SOLVERS = {name: solver for module in (*ALONE, solve_directions) for name, solver in module.SOLVERS.items()}
CHOOSERS = {
    name: solver
    for module in (solve_logic, solve_dates, solve_patterns, solve_directions)
    for name, solver in module.CHOOSERS.items()
}
FOLDER = ROOT / "expectations" / "model" / "reasoning"
Raw = dict[str, Any]


@pytest.fixture(scope="module")
def thousand() -> list[Raw]:
    return generate(1, 1000)


@pytest.fixture(scope="module")
def shipped() -> list[tuple[bytes, Item]]:
    lines = (FOLDER / "items.jsonl").read_bytes().splitlines(keepends=True)
    return [(line, parse_item(line, f"items.jsonl:{number}")) for number, line in enumerate(lines, 1)]


def generator_of(item: Raw) -> str:
    return item["provenance"].split()[1]


def is_solved(item: Raw) -> bool:
    """Whether the answer of an item is what its text alone leads to."""
    name, prompt, answer = generator_of(item), item["prompt"], item["choices"][item["answer"]]
    found = CHOOSERS[name](prompt, item["choices"]) if name in CHOOSERS else SOLVERS[name](prompt)
    return found == item["checks"][0].get("number", answer) if isinstance(found, int) else found == answer


def test_every_generator_has_one_solver_that_reads_the_text_alone() -> None:
    assert len(GENERATORS) >= 40
    assert sorted([*SOLVERS, *CHOOSERS]) == sorted(GENERATORS)


def test_every_answer_is_found_again_by_other_means_from_the_text_alone(thousand: list[Raw]) -> None:
    items = [*thousand, *generate(11, 400), *generate(11, 100, "sealed"), *generate(11, 60, "twin")]
    assert [(item["prompt"], item["choices"][item["answer"]]) for item in items if not is_solved(item)] == []
    assert {generator_of(item) for item in items} == set(GENERATORS)


def test_every_shipped_answer_is_found_again_too(shipped: list[tuple[bytes, Item]]) -> None:
    items = [json.loads(line) for line, item in shipped if item.provenance.startswith("generator")]
    assert [item["id"] for item in items if not is_solved(item)] == []


def test_a_wrong_answer_is_noticed_by_the_solvers(thousand: list[Raw]) -> None:
    for item in thousand:
        moved = {**item, "answer": (item["answer"] + 1) % 4, "checks": [{}]}
        assert not is_solved(moved), item["prompt"]


def test_the_same_seed_gives_the_same_items_and_fewer_are_the_first_of_more(thousand: list[Raw]) -> None:
    assert generate(1, 300) == thousand[:300]
    assert generate(1, 40, "sealed") == generate(1, 40, "sealed")


def test_other_seeds_and_splits_share_no_prompt_and_no_id() -> None:
    calls = [generate(seed, 300) for seed in range(20, 26)] + [generate(20, 80, "sealed"), generate(20, 40, "twin")]
    items = [item for call in calls for item in call]
    assert len({item["prompt"] for item in items}) == len(items)
    assert len({item["id"] for item in items}) == len(items)


def test_a_thousand_items_are_a_thousand_families_and_no_generator_has_more_than_one_in_twenty(
    thousand: list[Raw],
) -> None:
    assert len({item["family"] for item in thousand}) == 1000
    assert max(Counter(map(generator_of, thousand)).values()) <= 50


def test_splits_share_no_family_whatever_the_seeds() -> None:
    families = [{item["family"] for item in generate(30, 120, split)} for split in ("gate", "sealed", "twin")]
    assert all(not one & other for one, other in combinations(families, 2))


def test_families_come_again_only_when_all_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: GENERATORS[name] for name in ("map-scale", "distances")}
    monkeypatch.setattr(generators, "GENERATORS", few)
    monkeypatch.setattr(generators, "SCHEDULE", list(few))
    items = generate(3, 40)
    families = [item["family"] for item in items]
    different = len(set(families))
    assert 10 < different < 20
    assert len(set(families[:different])) == different
    assert len({item["prompt"] for item in items}) == 40


def test_names_and_numbers_make_no_new_family(thousand: list[Raw]) -> None:
    names = {word for item in thousand for word in item["prompt"].split() if word.istitle() and len(word) > 3}
    for family in {item["family"] for item in thousand}:
        assert not names & set(family.split()), family


def test_right_answers_are_not_recognised_by_place_rank_or_length(thousand: list[Raw]) -> None:
    assert Counter(item["answer"] for item in thousand) == {0: 250, 1: 250, 2: 250, 3: 250}
    numbers = [item for item in thousand if item["checks"][0]["kind"] == "number"]
    ranks = Counter(
        sorted(int(c.split()[0]) for c in item["choices"]).index(item["checks"][0]["number"]) for item in numbers
    )
    assert len(numbers) > 500
    assert all(0.18 < ranks[rank] / len(numbers) < 0.32 for rank in range(4))
    lengths = [[len(choice) for choice in item["choices"]] for item in thousand]
    for extreme in (min, max):
        alone = [
            row[item["answer"]] == extreme(row) and row.count(extreme(row)) == 1
            for item, row in zip(thousand, lengths, strict=True)
        ]
        assert sum(alone) < 0.25 * 1000


def test_items_are_short_have_four_choices_and_a_check_that_only_the_right_choice_holds(thousand: list[Raw]) -> None:
    for raw in thousand:
        item = parse_item(json.dumps(raw), raw["id"])
        assert len(raw["prompt"].split()) <= 48
        assert len(item.choices) == 4
        assert [check_problem(check) for check in item.checks] == [None]
        assert [place for place, choice in enumerate(item.choices) if right(item, choice)] == [item.answer]


def test_wrong_numbers_are_the_mistakes_where_there_are_enough_and_never_the_answer() -> None:
    for seed in range(200):
        draft = numeric(Random(seed), "s", "p", 20, [5, 6, 7, 20, 30.5, 31, 32, 33, -4, 0], "eggs")
        assert draft is not None
        assert len({*draft.wrong, draft.answer}) == 4
        assert set(draft.wrong) <= {f"{number} eggs" for number in (5, 6, 7, 31, 32, 33)}
    assert numeric(Random(0), "s", "p", 1, [5, 6, 7], "eggs") is None


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="'test'"):
        generate(1, 1, "test")


def test_the_shipped_items_are_what_their_seeds_give_byte_for_byte(shipped: list[tuple[bytes, Item]]) -> None:
    lines = [line for line, item in shipped if item.provenance.startswith("generator")]
    again = [as_line(item).encode() for split, seed, count in SHIPPED for item in generate(seed, count, split)]
    assert lines == again


def test_the_shipped_suite_is_large_enough_and_its_splits_share_no_family(shipped: list[tuple[bytes, Item]]) -> None:
    families = {
        split: {item.cluster for _, item in shipped if item.split == split} for split in ("gate", "sealed", "twin")
    }
    assert len(families["gate"]) >= 1000
    assert len(families["sealed"]) >= 110
    assert len(families["twin"]) >= 60
    assert all(not one & other for one, other in combinations(families.values(), 2))
    assert len({item.id for _, item in shipped}) == len(shipped)
    assert sum(item.provenance == "written" for _, item in shipped) == 200


def test_no_two_shipped_prompts_are_near_duplicates(shipped: list[tuple[bytes, Item]]) -> None:
    texts = [item.messages[-1].content for _, item in shipped]
    place: dict[str, int] = {}
    masks = [sum(1 << place.setdefault(gram, len(place)) for gram in grams(text)) for text in texts]
    close = [
        (texts[a], texts[b])
        for a, b in combinations(range(len(texts)), 2)
        if (masks[a] & masks[b]).bit_count() >= ALIKE * (masks[a] | masks[b]).bit_count()
    ]
    assert close == []
    assert (
        alike(grams("one small text"), grams("one small text")) == 1.0 > alike(grams("one small"), grams("other text"))
    )
