"""What a problem is dressed in (names, things), and what a generator hands over: a draft. Pure."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from random import Random
from typing import NamedTuple


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _split(
    "Ada Amir Anouk Aron Asta Bela Bram Carla Chidi Dana Daria Davit Elif Elio Emil Enzo Esra Fadi Femi Finn Gita "
    "Goran Greta Hana Hugo Ilya Ines Iris Ivan Jana Joel Juno Kai Kemal Kira Lars Lea Lena Lior Luca Luz Maja Marek "
    "Mateo Mina Mira Nadia Nils Noor Nuno Olga Omar Otto Pavel Petra Priya Rafi Rana Remy Rosa Ruben Saba Samir Sara "
    "Sena Soren Tara Tariq Thea Tomas Uma Vera Viktor Wanda Xenia Yara Yusuf Zara Zeno Zoe"
)
THINGS = _split(
    "stamps coins beads marbles shells buttons cards pencils stickers badges magnets postcards tokens tickets bottles "
    "candles ribbons pebbles keys apples lemons walnuts eggs bulbs seeds tiles bricks books comics records"
)
PLACES = _split(
    "Arden Brill Corve Dunmore Elmsea Farrow Galby Hexton Inver Jarrow Kelby Lorne Marl Norby Orrin Pelham Quarley "
    "Rushby Selwick Tarn Ulby Varley Wexcombe Yarm"
)
ORDINALS = _split("first second third fourth fifth sixth seventh eighth ninth tenth")
COUNTS = _split("zero one two three four five six seven eight nine ten eleven twelve")


class Draft(NamedTuple):
    """A problem before its choices are placed.

    Attributes:
        structure: which operations in which order on which roles; with the generator's name, the family.
        wrong: what typical mistakes give, at least three, all different from the answer and each other.
        number: the value, where the answer is a number.
    """

    structure: str
    prompt: str
    answer: str
    wrong: tuple[str, ...]
    number: float | None = None


SLIPS = (1, 2, 10, 3, 5)


def numeric(
    rng: Random,
    structure: str,
    prompt: str,
    answer: int,
    mistakes: Iterable[float | Fraction],
    unit: str = "",
    least: int = 2,
) -> Draft | None:
    """A draft whose answer is a whole number, with a unit or without.

    How many of the wrong numbers are smaller than the answer is drawn first, so that its rank gives nothing away.

    Args:
        mistakes: what typical mistakes give; what isn't whole, is below ``least`` or equals the answer is left out.
            Where a side has too few, small slips (of the answer, or on top of a mistake) fill up.
        least: 2 keeps "1 stamps" away; an answer below it makes no draft.
    """
    if answer < least:
        return None
    found = [int(value) for value in mistakes if value == int(value) and least <= value != answer]
    smaller = rng.randrange(4)
    low = _side(rng, answer, found, -1, smaller, least)
    wrong = low + _side(rng, answer, found, 1, 3 - len(low), least)
    return Draft(structure, prompt, write(answer, unit), tuple(write(value, unit) for value in wrong), answer)


def _side(rng: Random, answer: int, mistakes: list[int], sign: int, count: int, least: int) -> list[int]:
    """Up to ``count`` wrong numbers on one side of the answer: mistakes first, then slips."""
    there = [value for value in dict.fromkeys(mistakes) if (value - answer) * sign > 0]
    chosen = rng.sample(there, min(count, len(there)))
    near = [value + turn * slip for value in (answer, *there) for slip in SLIPS for turn in (1, -1)]
    near = [
        value for value in dict.fromkeys(near) if (value - answer) * sign > 0 and value >= least and value not in there
    ]
    return chosen + rng.sample(near, min(count - len(chosen), len(near)))


def write(value: int, unit: str = "") -> str:
    return f"{value} {unit}".rstrip()


def picked(
    rng: Random, structure: str, prompt: str, answer: int, others: Iterable[int], unit: str = ""
) -> Draft | None:
    """A draft whose wrong numbers are all among others that the prompt itself offers; None where they are too few."""
    draft = named(rng, structure, prompt, write(answer, unit), [write(other, unit) for other in others])
    return draft._replace(number=answer) if draft else None


def named(rng: Random, structure: str, prompt: str, answer: str, others: Iterable[str]) -> Draft | None:
    """A draft whose answer is a word or phrase among others; None where fewer than three others differ."""
    wrong = [other for other in dict.fromkeys(others) if other != answer]
    if len(wrong) < 3:
        return None
    return Draft(structure, prompt, answer, tuple(rng.sample(wrong, 3)))


def people(rng: Random, count: int) -> list[str]:
    """Names with different initials, so that none is mistaken for another."""
    chosen: list[str] = []
    while len(chosen) < count:
        name = rng.choice(NAMES)
        if name[0] not in {other[0] for other in chosen}:
            chosen.append(name)
    return chosen


def listed(parts: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
