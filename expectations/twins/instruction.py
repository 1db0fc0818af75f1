"""Twins of the ``instruction`` suite: what an answer must look like. See ``expectations.twins``.

A rejected answer says much the same as the chosen one, and breaks the form that was asked for.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from expectations.twins.draw import NAMES, THINGS, TOWNS, Draw, Twin, rows

# a subject and what can be said of it, in parts of like form
SUBJECTS: dict[str, tuple[str, ...]] = {
    "keeping bees": ("stand the hive in morning sun", "wear a veil near the hive", "leave honey for the winter",
                     "look for the queen in spring", "paint the roof white"),
    "sharpening knives": ("wet the stone well", "hold a steady angle", "turn the blade over often",
                          "test the edge on paper", "rinse and dry it"),
    "growing mushrooms": ("keep the logs damp", "choose a shady corner", "pick them while young",
                          "let the air move", "wait until autumn"),
    "repairing chairs": ("clean the old glue off", "clamp every joint", "sand along the grain",
                         "let it rest a day", "oil the wood last"),
    "playing chess": ("bring the knights out early", "castle before the storm", "count what is attacked",
                      "trade when ahead", "never hurry a good move"),
    "night trains": ("book a lower berth", "carry a small towel", "lock the door from inside",
                     "set two alarms", "bring water and fruit"),
    "baking rye bread": ("feed the starter at noon", "mix with warm water", "shape it with wet hands",
                         "bake it dark", "slice it the next day"),
    "looking after a canoe": ("store it upside down", "mend scratches at once", "rinse off salt",
                              "keep it out of the sun", "check the seats in spring"),
    "learning the flute": ("begin with long tones", "stand up straight", "count aloud at first",
                           "play softly in the evening", "dry it after each use"),
    "crossing a desert": ("travel by night", "drink before being thirsty", "cover the head",
                          "follow the old wells", "rest in the shade at noon"),
}  # fmt: skip
WORDS = ("pebble", "orchard", "velvet", "thunder", "marble", "feather", "candle", "harbour", "meadow", "walnut",
         "copper", "lantern", "saddle", "ribbon", "turnip", "anchor")  # fmt: skip
OPENERS = (
    "Listen well:",
    "To be frank,",
    "From the workshop:",
    "Dear apprentice,",
    "A word of advice:",
    "On reflection,",
)
CLOSERS = ("and that is all", "so says the master", "signed, the warden", "until next season", "over and out")
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
ORDINALS = ("first", "second", "third", "fourth", "fifth")


def twins(seed: int, count: int, topics: Sequence[str]) -> list[Twin]:
    """Up to ``count`` rows of these topics; a topic that isn't here gives none."""
    return rows(DRAWS, seed, count, topics)


def _row(prompt: str, chosen: str, rejected: str, *checks: dict[str, Any], truth: Any = None) -> Twin:
    row: Twin = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "checks": list(checks)}
    return row if truth is None else {**row, "truth": truth}


def _subject(rng: Random) -> tuple[str, list[str]]:
    subject = rng.choice(tuple(SUBJECTS))
    return subject, rng.sample(SUBJECTS[subject], len(SUBJECTS[subject]))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _prose(tips: Sequence[str]) -> str:
    return " ".join(f"{_capital(tip)}." for tip in tips)


def _listed(tips: Sequence[str]) -> str:
    return "\n".join(f"- {_capital(tip)}" for tip in tips)


def bullets(rng: Random) -> Twin | None:
    subject, tips = _subject(rng)
    n = rng.choice((2, 3, 4))
    ask = rng.choice(
        (
            f"Put what matters in {subject} into {COUNTS[n]} bullet points",
            f"As a list with exactly {COUNTS[n]} bullets: what should one know about {subject}",
            f"{_capital(subject)}, in {COUNTS[n]} bullet points",
        )
    )
    who = rng.choice(("a beginner", "my neighbour", "a school class", "an old friend", "the club"))
    wrong = rng.choice((_prose(tips[:n]), _listed(tips[: n + 1])))
    return _row(f"{ask}, for {who}.", _listed(tips[:n]), wrong, {"kind": "bullets", "least": n, "most": n})


def length(rng: Random) -> Twin | None:
    subject, tips = _subject(rng)
    tip, town = tips[0], rng.choice(TOWNS)
    if rng.random() < 0.5:
        prompt = f"A notice board in {town} has room for one sentence about {subject}. Write that one sentence."
        check = {"kind": "sentences", "least": 1, "most": 1}
        return _row(prompt, _prose([tip]), _prose(tips[:3]), check)
    most = rng.randint(7, 11)
    prompt = f"Not more than {most} words fit on a sign in {town}: put a hint on {subject} there."
    return _row(prompt, _prose([tip]), _prose(tips[:4]), {"kind": "words", "least": 1, "most": most})


def keywords(rng: Random) -> Twin | None:
    subject, tips = _subject(rng)
    one, other, third = rng.sample(WORDS, 3)
    both = f"Between {one} and {other}, remember to {tips[0]}."
    if rng.random() < 0.5:
        prompt = f'Say something about {subject} in which both "{one}" and "{other}" occur.'
        check = {"kind": "contains", "texts": [one, other]}
        return _row(prompt, both, f"With a {one}, remember to {tips[0]}.", check)
    prompt = f'Write on {subject}: "{one}" has to occur, and "{third}" must not.'
    wrong = f"Between {one} and {third}, remember to {tips[0]}."
    return _row(
        prompt, both, wrong, {"kind": "contains", "texts": [one]}, {"kind": "excludes", "texts": [third]}
    )  # fmt: skip


def start_end(rng: Random) -> Twin | None:
    subject, tips = _subject(rng)
    text = f"{tips[0]} and {tips[1]}"
    if rng.random() < 0.5:
        opener = rng.choice(OPENERS)
        prompt = f'Your reply on {subject} shall have "{opener}" as its very first words. Name two hints.'
        return _row(prompt, f"{opener} {text}.", f"{_capital(text)}.", {"kind": "starts", "texts": [opener]})
    closer = rng.choice(CLOSERS)
    prompt = f'Name two hints on {subject}, and let the very last words be "{closer}".'
    return _row(prompt, f"{_capital(text)}, {closer}.", f"{_capital(text)}.", {"kind": "ends", "texts": [closer]})


def case(rng: Random) -> Twin | None:
    subject, tips = _subject(rng)
    text, place = _prose(tips[:2]), rng.choice(("door", "crate", "cupboard", "gate", "boat", "wall"))
    if rng.random() < 0.5:
        prompt = f"Paint two hints on {subject} on a {place} in {rng.choice(TOWNS)}, using capitals throughout."
        return _row(prompt, text.upper(), text, {"kind": "upper"})
    prompt = f"Chalk two hints on {subject} on a {place} in {rng.choice(TOWNS)}, without a single capital letter."
    return _row(prompt, text.lower(), text, {"kind": "lower"})


def exact(rng: Random) -> Twin | None:
    shown = rng.sample(WORDS + THINGS, 5)
    place = rng.randrange(5)
    answer = shown[place]
    prompt = (
        f"Here are five words: {', '.join(shown)}. {rng.choice(('Reply', 'Respond'))} with just the {ORDINALS[place]} "
        f"of them, no other word."
    )
    wrong = rng.choice((f"The {ORDINALS[place]} word is {answer}.", shown[place - 1]))
    return _row(prompt, answer, wrong, {"kind": "exact", "texts": [answer]})


def as_json(rng: Random) -> Twin | None:
    name, thing, n, town = rng.choice(NAMES), rng.choice(THINGS), rng.randint(3, 60), rng.choice(TOWNS)
    fields: dict[str, Any] = {"buyer": name, "goods": thing, "pieces": n, "town": town}
    keys = rng.sample(sorted(fields), rng.choice((2, 3)))
    told = f"{name} of {town} orders {n} {thing}."
    listed = " and ".join((", ".join(f'"{key}"' for key in keys[:-1]), f'"{keys[-1]}"'))
    prompt = f"Note the order as one JSON object having {listed} for keys. {told}"
    schema = {
        "type": "object",
        "properties": {key: {"const": fields[key]} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }
    wrong = rng.choice((told, json.dumps({key: fields[key] for key in keys[:-1]})))
    right = json.dumps({key: fields[key] for key in keys})
    return _row(prompt, right, wrong, {"kind": "json", "texts": keys}, truth=schema)


def mixed(rng: Random) -> Twin | None:
    subject, tips = _subject(rng)
    n, closer, opener = rng.choice((2, 3)), rng.choice(CLOSERS), rng.choice(OPENERS)
    if rng.random() < 0.5:
        prompt = f'{_capital(subject)}: {COUNTS[n]} bullet points, and a last line that says "{closer}".'
        checks = ({"kind": "bullets", "least": n, "most": n}, {"kind": "ends", "texts": [closer]})
        return _row(prompt, f"{_listed(tips[:n])}\n{_capital(closer)}", _listed(tips[:n]), *checks)
    most = rng.randint(14, 20)
    prompt = f'Open with "{opener}" and stay within {most} words: a hint on {subject}.'
    checks = ({"kind": "starts", "texts": [opener]}, {"kind": "words", "least": 1, "most": most})
    return _row(prompt, f"{opener} {tips[0]}.", f"{opener} {', '.join(tips)}, {closer}.", *checks)


DRAWS: dict[str, Sequence[Draw]] = {
    "bullets": (bullets,),
    "length": (length,),
    "keywords": (keywords,),
    "start-end": (start_end,),
    "case": (case,),
    "exact": (exact,),
    "json": (as_json,),
    "mixed": (mixed,),
}
