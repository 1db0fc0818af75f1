"""What generators of twins share: names and things of their own, and rows drawn in turn until there are enough."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

Twin = dict[str, Any]
Draw = Callable[[Random], Twin | None]

TRIES = 400  # draws in a row that give nothing new, before a topic counts as run out


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# none of them is in expectations.model.reasoning.surface
NAMES = _split(
    "Agnes Basil Cora Dmitri Edda Felix Gloria Hector Ida Jasper Katrin Leopold Magda Nestor Odile Percy Quentin Ruth "
    "Silas Tilda Ulric Violet Walter Ximena Yvonne Zachary Bruno Celia Edgar Flora Gustav Helga Isidor Judith Klara"
)
THINGS = _split(
    "atlases jars lanterns kites spoons plums carpets violins helmets saddles notebooks baskets umbrellas ladders "
    "hinges thimbles goblets quilts oars barrels chairs pears flutes scarves trowels"
)
TOWNS = _split(
    "Aldermoor Bexcombe Cranfold Deepwell Eastry Fenwold Gorsely Hallow Ironbridge Kestrel Longmere Marshend Netherby "
    "Oldhaven Priory Redcliff Stonebeck Thornby"
)


def rows(draws: Mapping[str, Sequence[Draw]], seed: int, count: int, topics: Sequence[str]) -> list[Twin]:
    """``count`` rows with different prompts, the topics in turn; fewer where all have run out.

    Args:
        draws: topic → its kinds of questions; a draw that doesn't fit is None.
        topics: those without draws here are left out.
    """
    left = [topic for topic in dict.fromkeys(topics) if topic in draws]
    generators = {topic: Random(f"twin {topic} {seed}") for topic in left}
    found: list[Twin] = []
    seen: set[str] = set()
    while left and len(found) < count:
        for topic in list(left):
            if len(found) == count:
                break
            row = _new(generators[topic], draws[topic], seen)
            if row is None:
                left.remove(topic)
                continue
            seen.add(row["prompt"])
            found.append({"topic": topic, **row})
    return found


def _new(rng: Random, draws: Sequence[Draw], seen: set[str]) -> Twin | None:
    for _ in range(TRIES):
        row = rng.choice(draws)(rng)
        if row is not None and row["prompt"] not in seen:
            return row
    return None


def number(rng: Random, prompt: str, answer: int, mistakes: Sequence[int], unit: str = "") -> Twin | None:
    """A row whose answer is a whole number of at least 2; the wrong one is a typical mistake's, or a slip."""
    wrong = [value for value in mistakes if value != answer and value >= 2]
    if answer < 2:
        return None
    wrong = wrong or [answer + 1, answer + 10]
    return {
        "prompt": prompt,
        "chosen": f"{answer} {unit}".rstrip(),
        "rejected": f"{rng.choice(wrong)} {unit}".rstrip(),
        "truth": answer,
    }


def word(rng: Random, prompt: str, answer: str, others: Sequence[str]) -> Twin | None:
    """A row whose answer is a word or phrase, and one of ``others`` the wrong one; no reward of ours compares words."""
    wrong = [other for other in others if other != answer]
    return {"prompt": prompt, "chosen": answer, "rejected": rng.choice(wrong)} if wrong else None
