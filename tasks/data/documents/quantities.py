"""Figures in a text, comparable by what they measure. Pure; English, and German words of time and number.

``14 days`` and ``two weeks`` are one duration, ``€4.90`` and ``4,90 EUR`` one amount, ``free of charge`` none.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "fourteen": 14, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40,
    "forty-five": 45, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100, "zwei": 2, "drei": 3, "vier": 4,
    "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "zwölf": 12, "vierzehn": 14, "dreißig": 30,
}  # fmt: skip
_DIGITS = r"\d{1,3}(?:[.,' ]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_DIGITS}|\b(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b)"
_DAYS = {
    "minute": 1 / 1440, "min": 1 / 1440, "minuten": 1 / 1440, "hour": 1 / 24, "hr": 1 / 24, "h": 1 / 24, "stunde": 1 / 24,
    "day": 1.0, "tag": 1.0, "werktag": 1.0, "week": 7.0, "woche": 7.0, "month": 30.44, "monat": 30.44, "year": 365.25,
    "jahr": 365.25,
}  # fmt: skip
_TIME = r"minutes?|mins?|minuten?|hours?|hrs?|h|stunden?|days?|tag(?:e|en)?|werktag(?:e|en)?|weeks?|wochen?|months?|monat(?:e|en|s)?|years?|jahr(?:e|en|s)?"
_QUALIFIED = r"(?:(?:business|working|calendar|full|consecutive)[ -])?"
_RANGE = r"\s*(?:-|–|—|to|or|and|bis|oder)\s*"
_CURRENCY = {
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD",
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "chf": "CHF", "francs": "CHF", "¥": "JPY", "yen": "JPY",
    "cent": "EUR", "cents": "EUR",
}  # fmt: skip
_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan january januar|feb february februar|mar march märz|apr april|may mai|jun june juni|jul july juli|aug august"
        "|sep sept september|oct october okt oktober|nov november|dec december dez dezember".split("|"),
        1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?s?"
_CLOSE = 0.09  # a month is four weeks or thirty days


class Quantity(NamedTuple):
    """``kind``: what it measures; ``unit``: what it was given in; ``text``: as it stands."""

    kind: str
    value: float | str
    unit: str
    text: str


def quantities(text: str) -> list[Quantity]:
    """All figures of a text: duration, money, percent, date, time of day, weekday, address, telephone number, size, and
    counts of things (``3 returns``)."""
    found: list[Quantity] = []
    rest = text.lower()
    for pattern, read in _READERS:
        taken: list[tuple[int, int]] = []
        for match in pattern.finditer(rest):
            values = read(match)
            if values:
                found += [one._replace(text=" ".join(match.group(0).split())) for one in values]
                taken.append(match.span())
        for begin, end in taken:  # what is read is not read again as something else
            rest = rest[:begin] + "\x00" * (end - begin) + rest[end:]
    return found


def same(one: Quantity, other: Quantity) -> bool:
    """Whether two figures of one kind are the same: durations of different units to 9 %, all else exactly."""
    if one.kind != other.kind:
        return False
    if isinstance(one.value, str) or isinstance(other.value, str):
        return one.value == other.value
    if one.kind == "money":
        return one.value == other.value and (one.value == 0 or one.unit == other.unit)
    if one.kind == "duration" and one.unit != other.unit:
        return abs(one.value - other.value) <= _CLOSE * max(one.value, other.value)
    return abs(one.value - other.value) < 1e-9


def number(text: str) -> float:
    """A number as it is written: ``1,000``, ``1.000,50``, ``4,90`` or ``ten``."""
    text = text.strip()
    if text in _WORDS:
        return float(_WORDS[text])
    plain = text.replace("'", "").replace(" ", "")
    marks = [char for char in plain if char in ".,"]
    if len(set(marks)) == 2:  # the last is the decimal one
        plain = plain.replace(marks[0], "").replace(marks[-1], ".")
    elif marks and (len(marks) > 1 or re.search(r"[.,]\d{3}$", plain)):
        plain = plain.replace(marks[0], "")
    return float(plain.replace(",", "."))


def _duration(match: re.Match[str]) -> list[Quantity]:
    unit = _unit(match["unit"])
    if unit is None:
        return []
    return [
        Quantity("duration", number(one) * _DAYS[unit], unit, "")
        for one in (match["one"], match["two"])
        if one is not None
    ]


def _one_duration(match: re.Match[str]) -> list[Quantity]:
    unit = _unit(match["unit"])
    return [Quantity("duration", _DAYS[unit], unit, "")] if unit else []


def _unit(word: str) -> str | None:
    return next((word[:cut] for cut in range(len(word), 0, -1) if word[:cut] in _DAYS), None)


def _money(match: re.Match[str]) -> list[Quantity]:
    sign = (match["sign"] or match["name"] or "").strip()
    value = number(match["one"] or match["other"])
    value = value / 100 if sign.startswith("cent") else value
    return [Quantity("money", value, _CURRENCY[sign], "")]


def _date(match: re.Match[str]) -> list[Quantity]:
    day, month = match["day"] or match["day2"], _MONTHS[(match["month"] or match["month2"])]
    # without the year: it is left out as often as not
    return [Quantity("date", f"{month}-{int(day)}", "", "")] if 1 <= int(day) <= 31 else []


def _iso(match: re.Match[str]) -> list[Quantity]:
    return [Quantity("date", f"{int(match['m'])}-{int(match['d'])}", "", "")]


def _clock(match: re.Match[str]) -> list[Quantity]:
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), (match["half"] or "")[:1]
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 24 or minute > 59:
        return []
    return [Quantity("time of day", float(hour * 60 + minute), "", "")]


def _days(match: re.Match[str]) -> list[Quantity]:
    one = _WEEK.index(match["one"][:3])
    last = _WEEK.index(match["two"][:3]) if match["two"] else one
    span = range(one, last + 1) if last >= one else [*range(one, 7), *range(last + 1)]
    return [Quantity("weekday", _WEEK[day], "", "") for day in span]


def _text(kind: str) -> Callable[[re.Match[str]], list[Quantity]]:
    return lambda match: [
        Quantity(
            kind,
            match.group(0).rstrip("./").removeprefix("https://").removeprefix("http://").removeprefix("www."),
            "",
            "",
        )
    ]


def _phone(match: re.Match[str]) -> list[Quantity]:
    digits = re.sub(r"\D", "", match.group(0))
    return [Quantity("telephone number", digits[-7:], "", "")] if len(digits) >= 7 else []


def _size(match: re.Match[str]) -> list[Quantity]:
    return [Quantity(f"size in {match['unit']}", number(match["one"]), "", "")]


def _count(match: re.Match[str]) -> list[Quantity]:
    noun = match["noun"]
    if noun in _NO_NOUN:
        return []
    return [Quantity(f"number of {noun.rstrip('s')}s", number(match["one"]), "", "")]


_NO_NOUN = frozenset(
    "a an the of in on at to for from by or and if is are was per more less other others out times than as with your my "
    "that which who when am pm can will may must should".split()
)
_IN = r"(?:within|in|for|after|about|takes?|least|than|every|under|to|up to|innerhalb|binnen)\s+(?:about\s+|only\s+)?"
# in this order: what one has read, the next doesn't see
_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], list[Quantity]]], ...] = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _text("address")),
    (re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|example|de|io|eu)(?:/[^\s<>\"')\]]*)?"), _text("address")),
    (re.compile(r"(?P<d4>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})\b"), _iso),
    (re.compile(rf"\b(?:(?P<month>{_MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)|(?P<day2>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<month2>{_MONTH})\b)(?:,?\s+\d{{4}}\b)?"), _date),
    (re.compile(rf"(?P<one>{_NUMBER})[ -]?(?:%|per ?cent\b|prozent\b)"), lambda m: [Quantity("percent", number(m["one"]), "", "")]),
    (re.compile(rf"(?:(?P<sign>[€$£¥]|\b(?:eur|usd|gbp|chf)\b)\s*(?P<one>{_DIGITS})|(?P<other>{_NUMBER})\s*(?P<name>[€$£¥]|(?:eur|usd|gbp|chf|euros?|dollars?|pounds?|francs|yen|cents?)\b))"), _money),
    (re.compile(r"\b(?:free of charge|for free|(?:is|are) free(?! to| of (?!charge))|free (?:shipping|delivery|returns?)|(?:no|without) (?:extra |additional |any )?(?:charge|fee|cost)s?|costs? nothing|kostenlos|gratis)\b"), lambda _: [Quantity("money", 0.0, "", "")]),
    (re.compile(rf"(?P<one>{_NUMBER})(?:{_RANGE}(?P<two>{_NUMBER}))?[ -]?{_QUALIFIED}(?P<unit>{_TIME})\b"), _duration),
    (re.compile(rf"\b{_IN}(?:an?|one|einer?|eines)\s+{_QUALIFIED}(?P<unit>{_TIME})\b"), _one_duration),
    (re.compile(r"\b(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?\s*(?P<half>[ap]\.?m\b\.?)|\b(?P<hour2>)(?!)"), _clock),
    (re.compile(r"\b(?P<hour>\d{1,2}):(?P<minute>\d{2})\b(?P<half>)"), _clock),
    (re.compile(rf"\b(?P<one>{_WEEKDAY})(?:(?:\s*[-–]\s*|\s+(?:to|through|till|until)\s+)(?P<two>{_WEEKDAY}))?\b"), _days),
    (re.compile(r"(?<![\w.])\+?\(?\d(?:[ ()/.-]{0,2}(?<!\. )\d){6,}\b"), _phone),
    (re.compile(rf"(?P<one>{_DIGITS})\s?(?P<unit>kg|g|km|m|cm|mm|gb|mb|kb|l|ml|°c)\b"), _size),
    (re.compile(rf"(?P<one>{_NUMBER})\s+(?:(?:different|separate|free|full|single|items? of)\s+)?(?P<noun>[a-zà-ÿ]{{3,}})\b"), _count),
)  # fmt: skip
