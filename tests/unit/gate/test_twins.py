"""Training twins: right, of other generators, and nothing of them stands in a judged or sealed item."""

import re
from collections.abc import Callable
from itertools import pairwise, permutations, product
from typing import Any

import pytest

from expectations.model.reasoning import generate
from expectations.model.reasoning.generators import ALIKE, alike, grams
from expectations.model.reasoning.surface import NAMES, PLACES, THINGS
from expectations.twins import draw, instruction, reasoning
from infra.settings import ROOT
from tasks.align.rewards.verifiers import exact_number, json_schema
from tasks.data.twins import leaking_rows
from tasks.errors import SuiteError
from tasks.gate.answers import holds
from tasks.gate.items import _texts
from tasks.gate.rotation import guarded
from tasks.gate.suites import Bank, Check, Item, load_bank, parse_raw
from tasks.gate.twins import twin_rows, twin_topics

Raw = dict[str, Any]
MODULES = {"reasoning": reasoning, "instruction": instruction}
SUITES = ("reasoning", "instruction", "safety", "accuracy")


def bank(name: str) -> Bank:
    return load_bank(name, ROOT / "expectations" / "model" / name)


@pytest.fixture(scope="module")
def banks() -> dict[str, Bank]:
    return {name: bank(name) for name in SUITES}


def ints(text: str) -> list[int]:
    return [int(one) for one in re.findall(r"(?<![:\d])\d+(?![:\d])", text)]


def minutes(text: str) -> list[int]:
    return [int(h) * 60 + int(m) for h, m in re.findall(r"(\d\d):(\d\d)", text)]


def solve_chain(text: str) -> str:
    facts = re.findall(r"(\w+) is \w+ than (\w+)", text)
    names = sorted({name for fact in facts for name in fact})
    (order,) = [
        order for order in permutations(names) if all(order.index(one) < order.index(other) for one, other in facts)
    ]
    return order[-1] if re.search("the (lightest|youngest|shortest)", text) else order[0]


def solve_shelf(text: str) -> str:
    left, right, first, last = re.search(
        r": (\w+) directly left of (\w+), (\w+) at the far left, (\w+) at the far right", text
    ).groups()  # pyright: ignore[reportOptionalMemberAccess]
    place = ["first", "second", "third", "fourth"].index(re.search(r"in the (\w+) from", text)[1])  # pyright: ignore
    return next(o for o in permutations((left, right, first, last)) if o[0] == first and o[3] == last and o.index(right) == o.index(left) + 1)[place]  # fmt: skip  # noqa: E501


def solve_follows(text: str) -> str:
    rule, known = re.search(r"whenever (.+?)\. Today (.+)\. What", text).groups()  # pyright: ignore
    a, b = rule.split(", ")
    no = "it is not so that "
    worlds = [(x, y) for x, y in product((True, False), repeat=2) if (y or not x) and
              {a: x, b: y, no + a: not x, no + b: not y}[known]]  # fmt: skip
    other, place = (a, 0) if known in (b, no + b) else (b, 1)
    values = {world[place] for world in worlds}
    return f"nothing about whether {other}" if len(values) > 1 else (other if values == {True} else no + other)


def solve_two_rules(text: str) -> str:
    first, second, now, asked = re.search(
        r": whenever (.+?); whenever (.+?)\. Now (.+?)\. Does it follow that (.+?)\?", text
    ).groups()  # pyright: ignore[reportOptionalMemberAccess]
    known, rules = {now}, [one.split(", ") for one in (first, second)]
    for _ in rules:
        known |= {then for when, then in rules if when in known}
    return "Yes" if asked in known else "No"


def solve_grid(text: str) -> str | int:
    *table, question = text.splitlines()
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in table[1:]}
    column = ["rain", "wind"].index(re.search(r"(rain|wind)", question)[1])  # pyright: ignore
    values = {town: int(row[column]) for town, row in rows.items()}
    named = [value for town, value in values.items() if town in question]
    if "Name the town" in question:
        return (max if "most" in question else min)(values, key=lambda town: values[town])
    return sum(named) if "Add up" in question else max(named) - min(named)


def solve_steps(text: str) -> int:
    values = ints(text)
    gaps = [later - earlier for earlier, later in pairwise(values)]
    return values[-1] + gaps[-1] + (gaps[-1] - gaps[-2])


def solve_small(text: str) -> int:
    whole, rest = ints(text)
    factor = {"kilometres": 1000, "kilograms": 1000, "hours": 60, "metres": 100}[text.split()[text.split().index(str(whole)) + 1]]  # fmt: skip  # noqa: E501
    return whole * factor + rest


def solve_turned(text: str) -> str:
    right, left = ints(text)
    at = reasoning.WAYS.index(re.search(r"looks (\w+)\.", text)[1])  # pyright: ignore
    return reasoning.WAYS[(at + right + 3 * left) % 4]


def solve_weekday(text: str) -> str:
    first, later = ints(text)
    at = reasoning.DAYS.index(re.search(r"falls on a (\w+)\.", text)[1])  # pyright: ignore
    return reasoning.DAYS[(at + later - first) % 7]


def solve_end(text: str) -> str:
    end = minutes(text)[0] + ints(text)[0]
    return f"{end // 60:02d}:{end % 60:02d}"


# what tells a kind of question → its answer, from the text alone, written without a look at the generators' arithmetic
SOLVERS: dict[str, Callable[[str], int | str]] = {
    "lending shed": lambda t: ints(t)[0] - ints(t)[1] + ints(t)[2],
    "lorry carries": lambda t: ints(t)[0] * ints(t)[1] - ints(t)[2],
    "out fairly to": lambda t: ints(t)[0] // ints(t)[1],
    "repair altogether": lambda t: ints(t)[0] + ints(t)[0] * ints(t)[1] + ints(t)[2],
    "What comes back": lambda t: ints(t)[2] - ints(t)[0] * ints(t)[1],
    "per cent": lambda t: round(ints(t)[0] * (1 + (1 if " up " in t else -1) * ints(t)[1] / 100)),
    "every week for a loom": lambda t: (ints(t)[2] - ints(t)[0]) // ints(t)[1],
    "quarter turns": solve_turned,
    "From the well": lambda t: ints(t)[0] - ints(t)[1] + ints(t)[2],
    " / ": solve_steps,
    "Each number of a row": lambda t: ints(t)[-1] ** 2 // ints(t)[-2],
    "as hh:mm": solve_end,
    "switched on": lambda t: minutes(t)[1] - minutes(t)[0],
    "In some month": solve_weekday,
    "full weeks plus": lambda t: ints(t)[0] * 7 + ints(t)[1],
    "alone.": solve_small,
    "islanders": lambda t: ints(t)[0] * ints(t)[1] * ints(t)[2],
    "of these?": solve_chain,
    "drawers": solve_shelf,
    "always holds": solve_follows,
    "Two rules": solve_two_rules,
    "town | rain": solve_grid,
    "can do the two things": lambda t: ints(t)[0] - ints(t)[1] - ints(t)[2] + ints(t)[3],
    "planet": lambda t: "No, never" if "not one of" in t else "Yes, always",
    "Blindfolded": lambda t: f"{ints(t)[0]} in {ints(t)[0] + ints(t)[1]}",
    "A chest": lambda t: ints(t)[0] * (ints(t)[1] - 1) + 1,
}


def solved(row: Raw) -> int | str:
    (key,) = [key for key in SOLVERS if key in row["prompt"]]
    return SOLVERS[key](row["prompt"])


@pytest.fixture(scope="module")
def reasoned() -> list[Raw]:
    return reasoning.twins(5, 1800, tuple(reasoning.DRAWS))


def test_every_answer_of_a_reasoning_twin_is_found_again_from_the_text_alone_and_the_wrong_one_is_wrong(
    reasoned: list[Raw],
) -> None:
    used = set()
    for row in reasoned:
        found = solved(row)
        used.add(next(key for key in SOLVERS if key in row["prompt"]))
        if isinstance(found, int):
            assert row["truth"] == found, row
            assert exact_number(row["chosen"], row["truth"]) == 1.0
            assert exact_number(row["rejected"], row["truth"]) == 0.0
        else:
            assert row["chosen"] == found, row
            assert row["rejected"] != found
    assert used == set(SOLVERS)


def test_a_chosen_instruction_twin_holds_its_checks_and_the_rejected_one_breaks_one() -> None:
    for row in instruction.twins(5, 1200, tuple(instruction.DRAWS)):
        checks = [Check.model_validate(check) for check in row["checks"]]
        assert all(holds(check, row["chosen"]) for check in checks), row
        assert not all(holds(check, row["rejected"]) for check in checks), row
        if "truth" in row:
            assert json_schema(row["chosen"], row["truth"]) == 1.0
            assert json_schema(row["rejected"], row["truth"]) == 0.0


def test_twins_share_no_name_place_or_thing_with_the_items_generators() -> None:
    assert not {*draw.NAMES, *draw.TOWNS, *draw.THINGS} & {*NAMES, *PLACES, *THINGS}


@pytest.mark.parametrize("suite", MODULES)
def test_the_same_seed_gives_the_same_twins_topics_take_turns_and_no_prompt_comes_twice(suite: str) -> None:
    topics = tuple(MODULES[suite].DRAWS)
    rows = MODULES[suite].twins(3, 30 * len(topics), topics)
    assert rows == MODULES[suite].twins(3, 30 * len(topics), topics)
    assert [row["topic"] for row in rows[: len(topics)]] == list(topics)
    assert len({row["prompt"] for row in rows}) == len(rows) == 30 * len(topics)
    assert MODULES[suite].twins(4, 5, topics) != rows[:5]
    assert MODULES[suite].twins(3, 5, ["no such topic"]) == []


def test_a_topic_that_runs_out_ends_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    few: dict[str, Any] = {
        "few": (lambda rng: {"prompt": rng.choice("ab")},),
        "many": (lambda rng: {"prompt": rng.random()},),
    }
    assert [row["topic"] for row in draw.rows(few, 1, 6, ["few", "many"])] == [
        "few",
        "many",
        "few",
        "many",
        "many",
        "many",
    ]


def test_no_twin_shares_thirteen_words_or_a_prompt_with_any_judged_or_sealed_item(banks: dict[str, Bank]) -> None:
    held: list[dict[str, object]] = [
        text for name, one in banks.items() for item in guarded(one) for text in _texts(name, item)
    ]
    fresh = [parse_raw(raw, "fresh") for raw in generate(1_000_000, 300, "sealed")]
    held += [text for item in fresh for text in _texts("reasoning", item)]
    for name, module in MODULES.items():
        rows = twin_rows(banks, [(name, topic) for topic in module.DRAWS], 1500, 11)
        assert len(rows) == 1500
        assert leaking_rows(rows, held) == frozenset()
    rows = [
        row
        for name in ("safety", "accuracy")
        for row in twin_rows(banks, [(name, t) for t in twin_topics(banks[name])], 500, 1)
    ]
    assert len(rows) > 150
    assert leaking_rows(rows, held) == frozenset()


def test_no_twin_is_a_near_duplicate_of_a_judged_or_sealed_item(banks: dict[str, Bank]) -> None:
    for name, module in MODULES.items():
        items = [grams(item.messages[-1].content) for item in guarded(banks[name])]
        for row in module.twins(11, 8 * len(module.DRAWS), tuple(module.DRAWS)):
            own = grams(row["prompt"])
            assert max(alike(own, other) for other in items) < ALIKE, row["prompt"]


def test_a_twin_that_is_an_item_is_found_by_place() -> None:
    item = {"suite": "s", "item": "i", "text": "What is the sum of two and two, please?", "is_prompt": True}
    rows = [_row("Something else altogether?"), _row("what is the sum of two and two please")]
    assert leaking_rows(rows, [item]) == {1}


def _row(prompt: str) -> Raw:
    said = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    return {"id": prompt, "prompt": [{"role": "user", "content": prompt}], **said}


def test_lines_are_those_of_training_data_and_come_evenly_from_all_topics(banks: dict[str, Bank]) -> None:
    rows = twin_rows(banks, [("reasoning", "money"), ("instruction", "json")], 10, 1)
    assert [row["id"].split("-")[1] for row in rows] == ["reasoning", "instruction"] * 5
    assert all([*row] == ["id", "prompt", "chosen", "rejected", "truth"] for row in rows)
    assert rows[0]["prompt"][0]["role"] == "user"
    assert rows[0]["chosen"][0]["role"] == "assistant"
    assert len({row["id"] for row in rows}) == 10


def test_every_topic_of_the_suites_with_a_generator_has_twins_but_those_of_single_written_items(
    banks: dict[str, Bank],
) -> None:
    assert set(twin_topics(banks["instruction"])) == {item.topic for item in banks["instruction"].suite.items}
    missing = {item.topic for item in banks["reasoning"].suite.items} - set(twin_topics(banks["reasoning"]))
    assert missing == {"odd-one-out", "analogy", "cause-effect"}


def test_without_a_generator_the_twin_items_are_taken_with_their_right_and_a_wrong_choice(
    banks: dict[str, Bank],
) -> None:
    by_prompt = {item.messages[0].content: item for item in banks["safety"].suite.items}
    topics = [("safety", topic) for topic in twin_topics(banks["safety"])]
    rows = twin_rows(banks, topics, 40, 1)
    assert len(rows) == 40
    for row in rows:
        item: Item = by_prompt[row["prompt"][0]["content"]]
        assert item.split == "twin"
        assert item.answer is not None
        assert row["chosen"][0]["content"] == item.choices[item.answer]
        assert row["rejected"][0]["content"] == item.choices[1 - item.answer]
        assert row["truth"] == ("refuse" if item.checks[0].kind == "refuses" else "answer")


def test_a_generator_that_gives_no_pair_is_refused_by_its_name(
    banks: dict[str, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasoning, "twins", lambda *_: [{"prompt": "x", "chosen": "y", "rejected": "y"}])
    with pytest.raises(SuiteError, match=r"expectations\.twins\.reasoning:twins gave a row"):
        twin_rows(banks, [("reasoning", "money")], 1, 1)
    with pytest.raises(SuiteError, match="the twins 'os:listdir' of the suite reasoning lies outside expectations"):
        twin_topics(banks["reasoning"]._replace(twins="os:listdir"))
