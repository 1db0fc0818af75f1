"""What is a sentence, and what is a question. Pure; rules of form, so that they hold in most European languages."""

import re


def word_set(text: str) -> frozenset[str]:
    """Words as they stand in a text."""
    return frozenset(text.split())


# after these a full stop ends no sentence: English and German
_SHORT = word_set(
    "e.g i.e etc vs approx mr mrs ms dr prof st inc ltd co corp dept est ext max min tel jan feb mar apr jun "
    "jul aug sep sept oct nov dec mon tue wed thu fri a.m p.m u.s u.k z.b d.h u.a o.ä usw bzw ca ggf inkl "
    "zzgl evtl vgl str"
)
_SHORT_BEFORE_FIGURE = word_set("no nos fig sec art par nr abs p pp vol")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s+\S)|[。！？]")
_BEHIND = re.compile(r"\s*(\S)")
_ASKS = ("?", "？", "؟")
_PREFIX = re.compile(
    r"^\s*(?:[#>*_•–-]+\s+)*"
    r"(?:(?:Q|Question|F|Frage)\s*\d*\s*[:.)]\s*|(?:\d{1,3}\.)+\d{0,3}\s+|\d{1,3}[.)]\s+|[a-z]\)\s+)?",
    re.IGNORECASE,
)
LONGEST_QUESTION = 40  # words


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph.

    One ends at ``. ! ?`` before a space and a letter that isn't small, unless the stop belongs to a known short form, a
    single capital letter or a number in front of a small letter.
    """
    found, begin = [], 0
    for match in _END.finditer(text):
        if not _goes_on(text, begin, match):
            found.append(text[begin : match.end()].strip())
            begin = match.end()
    found.append(text[begin:].strip())
    return [one for one in found if one]


def _goes_on(text: str, begin: int, stop: re.Match[str]) -> bool:
    """Whether the sentence from ``begin`` goes on behind a full stop."""
    if stop.group(0)[0] not in ".…":
        return False
    near = text[max(begin, stop.start() - 40) : stop.start()].split()
    word = (near[-1] if near else "").strip("(\"'“„«[")
    behind = _BEHIND.match(text, stop.end())
    after = behind.group(1) if behind else ""
    return (
        word.lower() in _SHORT
        or (word.lower() in _SHORT_BEFORE_FIGURE and after.isdigit())
        or (len(word) == 1 and word.isalpha())
        or after.islower()
        or (len(near) == 1 and word.isdigit() and len(word) < 3)
    )


def unprefixed(line: str) -> str:
    """A line without list mark, number, ``Q:`` or marks of emphasis around it."""
    text = _PREFIX.sub("", line.strip()).strip()
    while len(text) > 4 and text[:2] == text[-2:] and text[:2] in ("**", "__"):
        text = text[2:-2].strip()
    return text


def is_question(line: str) -> str | None:
    """The question that a line consists of, without its number or ``Q:``; None where it is none.

    It ends with a question mark, is one sentence, and has three to forty words (or, in writing without spaces, six
    signs and more): ``Questions?`` and ``Why?`` ask nothing that a document could answer.
    """
    text = unprefixed(line)
    if not text.endswith(_ASKS) or len(sentences(text)) != 1:
        return None
    words = text.split()
    spaceless = len(words) < 3 and len(text) >= 6 and not text.isascii() and not re.search(r"[a-zA-ZÀ-ÿ]", text)
    if not (3 <= len(words) <= LONGEST_QUESTION or spaceless):
        return None
    return text
