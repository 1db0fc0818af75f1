"""Figures in a text, comparable by what they measure. Pure; English, and German words of time and number.

``14 days`` and ``two weeks`` are one duration, ``€4.90`` and ``4,90 EUR`` one amount, ``free of charge`` none.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from tasks.data.documents.words import word_set

_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "fourteen": 14, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40,
    "forty-five": 45, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100, "zwei": 2, "drei": 3, "vier": 4,
    "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "zwölf": 12, "vierzehn": 14, "dreißig": 30,
}  # fmt: skip
_DIGITS = r"(?:\d{1,3}(?:[.,'\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?)"
_NUMBER = rf"(?:{_DIGITS}|\b(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b)"
_DAYS = {
    "minute": 1 / 1440, "min": 1 / 1440, "hour": 1 / 24, "hr": 1 / 24, "h": 1 / 24, "stunde": 1 / 24,
    "day": 1.0, "tag": 1.0, "werktag": 1.0, "week": 7.0, "woche": 7.0, "month": 30.44, "monat": 30.44, "year": 365.25,
    "jahr": 365.25,
}  # fmt: skip
_TIME = (
    r"(?:minutes?|mins?|minuten?|hours?|hrs?|h|stunden?|days?|(?:werk)?tag(?:e|en)?|weeks?|wochen?|months?"
    r"|monat(?:e|en|s)?|years?|jahr(?:e|en|s)?)"
)
_QUALIFIED = r"(?:(?:business|working|calendar|full|consecutive)[ -])?"
_IN = r"(?:within|in|for|after|about|takes?|least|than|every|under|to|innerhalb|binnen)\s+(?:about\s+|only\s+)?"
_RANGE = r"\s*(?:-|–|—|to|or|and|bis|oder)\s*"
_CURRENCY = {
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "$": "USD", "usd": "USD", "dollar": "USD",
    "dollars": "USD", "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "chf": "CHF", "francs": "CHF",
    "¥": "JPY", "yen": "JPY", "cent": "", "cents": "",
}  # fmt: skip
_MONTHS = {
    "jan": 1, "january": 1, "januar": 1, "feb": 2, "february": 2, "februar": 2, "mar": 3, "march": 3, "märz": 3,
    "apr": 4, "april": 4, "may": 5, "mai": 5, "jun": 6, "june": 6, "juni": 6, "jul": 7, "july": 7, "juli": 7, "aug": 8,
    "august": 8, "sep": 9, "sept": 9, "september": 9, "oct": 10, "october": 10, "okt": 10, "oktober": 10, "nov": 11,
    "november": 11, "dec": 12, "december": 12, "dez": 12, "dezember": 12,
}  # fmt: skip
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_ANY_DAY = rf"(?:{_DAY}|mon|tues?|wed|thu(?:rs)?|fri|sat|sun)"  # short only in a span: *sun* is not always Sunday
_TILL = r"(?:\s*[-–]\s*|\s+(?:to|through|till|until)\s+)"
# between units: a month is four weeks or thirty days; a mile is 1.6 km
_CLOSE = {"duration": 0.09, "length": 0.03, "weight": 0.03, "temperature": 0.03}
_SIZES: dict[str, tuple[str, float]] = {
    "km": ("length", 1000.0), "kilometer": ("length", 1000.0), "kilometre": ("length", 1000.0), "m": ("length", 1.0),
    "meter": ("length", 1.0), "metre": ("length", 1.0), "cm": ("length", 0.01), "mm": ("length", 0.001),
    "mile": ("length", 1609.34), "feet": ("length", 0.3048), "foot": ("length", 0.3048), "inch": ("length", 0.0254),
    "inche": ("length", 0.0254), "kg": ("weight", 1.0), "kilo": ("weight", 1.0), "kilogram": ("weight", 1.0),
    "g": ("weight", 0.001), "gram": ("weight", 0.001), "lb": ("weight", 0.4536),
    "ounce": ("weight", 0.02835), "gb": ("memory", 1000.0), "mb": ("memory", 1.0), "kb": ("memory", 0.001),
    "l": ("volume", 1.0), "liter": ("volume", 1.0), "litre": ("volume", 1.0), "ml": ("volume", 0.001),
}  # fmt: skip
_SIZE = (
    r"(?:kg|kilo(?:gram|meter|metre)?s?|g|grams?|lbs?|ounces?|km|m|met(?:er|re)s?|cm|mm|miles?|feet|foot|inch(?:es)?"
    r"|[gmk]b|ml|l|lit(?:er|re)s?)"
)


class Quantity(NamedTuple):
    """``kind``: what it measures; ``unit``: what it was given in; ``text``: as it stands."""

    kind: str
    value: float | str
    unit: str
    text: str
    other: float | None = None  # ``42.195`` is forty-two and a bit, or forty-two thousand: what it is if not ``value``


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
    """Whether two figures of one kind are the same: of different units roughly, else exactly."""
    if one.kind != other.kind:
        return False
    if isinstance(one.value, str) or isinstance(other.value, str):
        return one.value == other.value
    if one.kind == "money" and one.unit and other.unit and one.unit != other.unit:
        return one.value == other.value == 0
    close = _CLOSE.get(one.kind, 0.0) if one.unit != other.unit else 0.0
    return any(
        abs(a - b) <= close * max(abs(a), abs(b)) + 1e-9
        for a in (one.value, one.other)
        for b in (other.value, other.other)
        if isinstance(a, float) and isinstance(b, float)
    )


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


def _scaled(kind: str, text: str, factor: float, unit: str) -> Quantity:
    """A figure in its kind's unit; ``1.500`` in both its readings."""
    decimal = float(text.replace(",", ".")) if re.fullmatch(r"\d{1,3}[.,]\d{3}", text) else None
    return Quantity(kind, number(text) * factor, unit, "", None if decimal is None else decimal * factor)


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
    name = match["name"]
    return [_scaled("money", match["one"], 0.01 if name.startswith("cent") else 1.0, _CURRENCY[name])]


def _nothing(_: re.Match[str]) -> list[Quantity]:
    return [Quantity("money", 0.0, "", "")]


def _percent(match: re.Match[str]) -> list[Quantity]:
    return [Quantity("percent", number(match["one"]), "", "")]


def _date(match: re.Match[str]) -> list[Quantity]:
    """Without its year, which is left out as often as not."""
    month = _MONTHS.get(match["month"]) or int(match["month"])
    return [Quantity("date", f"{month}-{int(match['day'])}", "", "")] if 1 <= int(match["day"]) <= 31 else []


def _clock(match: re.Match[str]) -> list[Quantity]:
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), match["half"]
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 24 or minute > 59:
        return []
    return [Quantity("time of day", float(hour * 60 + minute), "", "")]


def _weekdays(match: re.Match[str]) -> list[Quantity]:
    one = _WEEK.index(match["one"][:3])
    last = _WEEK.index(match["two"][:3]) if match["two"] else one
    span = range(one, last + 1) if last >= one else [*range(one, 7), *range(last + 1)]
    return [Quantity("weekday", _WEEK[day], "", "") for day in span]


def _address(match: re.Match[str]) -> list[Quantity]:
    text = match.group(0).rstrip("./")
    for start in ("https://", "http://", "www."):
        text = text.removeprefix(start)
    return [Quantity("address", text, "", "")]


def _phone(match: re.Match[str]) -> list[Quantity]:
    digits = re.sub(r"\D", "", match.group(0))
    return [Quantity("telephone number", digits[-7:], "", "")] if len(digits) >= 7 else []


def _size(match: re.Match[str]) -> list[Quantity]:
    unit = match["unit"]
    kind, factor = _SIZES.get(unit) or _SIZES[unit.removesuffix("s")]
    return [_scaled(kind, match["one"], factor, unit.removesuffix("s"))]


def _temperature(match: re.Match[str]) -> list[Quantity]:
    value, unit = float(match["one"].replace(",", ".")), match["unit"][0]
    return [Quantity("temperature", value if unit == "c" else (value - 32) / 1.8, unit, "")]


def _count(match: re.Match[str]) -> list[Quantity]:
    noun = match["noun"]
    if noun in _NO_NOUN:
        return []
    return [Quantity(f"number of {noun.rstrip('s')}s", number(match["one"]), "", "")]


_NO_NOUN = word_set(
    "a an the of in on at to for from by or and if is are was per more less other others out times than "
    "as with your my that which who when am pm can will may must should"
)
Reader = Callable[[re.Match[str]], list[Quantity]]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.VERBOSE)


# in this order: what one has read, the next doesn't see
_READERS: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (_pattern(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[\w-]{2,63}"), _address),
    (_pattern(r"(?:https?://|www\.)[^\s<>\"')\]]+"), _address),
    (_pattern(r"(?<![\w.-])(?:[\w-]{1,63}\.){1,5}(?:com|org|net|example|de|io|eu)\b(?:/[^\s<>\"')\]]*)?"), _address),
    (_pattern(r"\d{4}-(?P<month>\d{2})-(?P<day>\d{2})\b"), _date),
    (_pattern(rf"\b(?P<month>{_MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,?\s+\d{{4}}\b)?"), _date),
    (_pattern(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<month>{_MONTH})\b(?:,?\s+\d{{4}}\b)?"), _date),
    (_pattern(rf"(?P<one>{_NUMBER})[ -]?(?:%|per\ ?cent\b|prozent\b)"), _percent),
    (_pattern(rf"(?P<name>[€$£¥]|\b(?:eur|usd|gbp|chf)\b)\s*(?P<one>{_DIGITS})"), _money),
    (
        _pattern(
            rf"""(?P<one>{_NUMBER})\s*
            (?P<name>[€$£¥]|(?:eur|usd|gbp|chf|euros?|dollars?|pounds?|francs|yen|cents?)\b)"""
        ),
        _money,
    ),
    (
        _pattern(
            r"""\b(?:free\ of\ charge|for\ free|(?:is|are)\ free(?!\ to|\ of\ (?!charge))
            |free\ (?:shipping|delivery|returns?)|(?:no|without)\ (?:extra\ |additional\ |any\ )?(?:charge|fee|cost)s?
            |costs?\ nothing|kostenlos|gratis)\b"""
        ),
        _nothing,
    ),
    (
        _pattern(rf"(?P<one>{_NUMBER})(?:{_RANGE}(?P<two>{_NUMBER}))?[ -]?{_QUALIFIED}(?P<unit>{_TIME})\b"),
        _duration,
    ),
    (_pattern(rf"\b{_IN}(?:an?|one|einer?|eines)\s+{_QUALIFIED}(?P<unit>{_TIME})\b"), _one_duration),
    (_pattern(r"\b(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?\s*(?P<half>[ap])\.?m\b\.?"), _clock),
    (_pattern(r"\b(?P<hour>\d{1,2}):(?P<minute>\d{2})\b(?P<half>)"), _clock),
    (_pattern(rf"\b(?P<one>{_ANY_DAY}){_TILL}(?P<two>{_ANY_DAY})\b"), _weekdays),
    (_pattern(rf"\b(?P<one>{_DAY})(?P<two>)\b"), _weekdays),
    (_pattern(r"(?<![\w.])\+?\(?\d(?:[ ()/.-]{0,2}(?<!\.\ )\d){6,}\b"), _phone),
    (_pattern(r"(?P<one>-?\d+(?:[.,]\d+)?)\s*(?:°|degrees?)\s*(?P<unit>c(?:elsius)?|f(?:ahrenheit)?)\b"), _temperature),
    (_pattern(rf"(?P<one>{_NUMBER})\s?(?P<unit>{_SIZE})\b"), _size),
    (
        _pattern(
            rf"""(?P<one>{_NUMBER})\s+(?:(?:different|separate|free|full|single|items?\ of)\s+)?
            (?P<noun>[a-zà-ÿ]{{3,}})\b"""
        ),
        _count,
    ),
)
