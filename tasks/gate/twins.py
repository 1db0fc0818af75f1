"""Training twins of a suite's topics, as lines of training data: from the generator its ``suite.toml`` names under
``twins``, or, without one, from its items of the split ``twin``. Never a judged item, nor one that waits to be."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from tasks.errors import SuiteError
from tasks.gate.rotation import generator_at
from tasks.gate.suites import Bank, Item

Row = dict[str, Any]


def twin_topics(bank: Bank) -> tuple[str, ...]:
    """The suite's topics that there are twins of.

    Raises:
        SuiteError: ``twins`` names no function.
    """
    topics = sorted({item.topic for item in bank.suite.items if item.topic})
    if bank.twins is None:
        return tuple(topic for topic in topics if any(item.topic == topic for item in _usable(bank)))
    generate = generator_at(bank.twins, bank.suite.name, "twins")
    return tuple(topic for topic in topics if generate(0, 1, [topic]))


def twin_rows(banks: Mapping[str, Bank], topics: Sequence[tuple[str, str]], count: int, seed: int) -> list[Row]:
    """``count`` lines, as evenly from all topics as there are twins; fewer where there are fewer.

    Args:
        topics: (suite, topic), each once.

    Raises:
        SuiteError: a generator gives what can't be trained on; the message names it.
    """
    drawn = [_of_topic(banks[suite], topic, count, seed) for suite, topic in topics]
    rows: list[Row] = []
    place = 0
    while len(rows) < count and any(place < len(one) for one in drawn):
        rows += [one[place] for one in drawn if place < len(one)]
        place += 1
    return rows[:count]


def _of_topic(bank: Bank, topic: str, count: int, seed: int) -> list[Row]:
    if bank.twins is None:
        items = [item for item in _usable(bank) if item.topic == topic]
        Random(f"{seed} {topic}").shuffle(items)
        return [_of_item(bank.suite.name, item, seed) for item in items[:count]]
    made = generator_at(bank.twins, bank.suite.name, "twins")(seed, count, [topic])
    return [_line(f"twin-{bank.suite.name}-{topic}-{seed}-{n}", one, bank) for n, one in enumerate(made)]


def _line(id_: str, made: Mapping[str, Any], bank: Bank) -> Row:
    prompt, chosen, rejected = (made.get(name) for name in ("prompt", "chosen", "rejected"))
    if not all(isinstance(text, str) and text for text in (prompt, chosen, rejected)) or chosen == rejected:
        raise SuiteError(
            f"{bank.twins} gave a row without a prompt and two different answers: {dict(made)!r:.200}",
            do="mend the generator that `twins` names in the suite's suite.toml",
        )
    return _row(id_, str(prompt), str(chosen), str(rejected), made.get("truth"))


def _usable(bank: Bank) -> list[Item]:
    """Twin items of one question that can be made a pair: those with choices."""
    return [
        item
        for item in bank.suite.items
        if item.split == "twin" and item.topic and item.choices and [one.role for one in item.messages] == ["user"]
    ]


def _of_item(suite: str, item: Item, seed: int) -> Row:
    assert item.answer is not None
    wrong = [choice for place, choice in enumerate(item.choices) if place != item.answer]
    rejected = Random(f"{seed} {item.id}").choice(wrong)
    return _row(f"twin-{suite}-{item.id}", item.messages[0].content, item.choices[item.answer], rejected, _truth(item))


def _truth(item: Item) -> Any:
    """What a reward compares an answer with, where one of the item's checks says it."""
    for check in item.checks:
        if check.kind == "number" and check.number is not None and not check.tolerance:
            return int(check.number) if check.number == int(check.number) else check.number
        if check.kind in ("refuses", "answers"):
            return "refuse" if check.kind == "refuses" else "answer"
    return None


def _row(id_: str, prompt: str, chosen: str, rejected: str, truth: Any) -> Row:
    row: Row = {
        "id": id_,
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
    return row if truth is None else {**row, "truth": truth}
