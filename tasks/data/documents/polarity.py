"""What a clause says yes or no to: its words, and whether it is negated. Pure; English."""

import re
from typing import NamedTuple

from tasks.data.documents.words import sentences, word_set

# what says of another word that it is not so, and what says the same as another
_OPPOSITES = dict(
    pair.split(":")
    for pair in word_set(
        "prohibited:allowed forbidden:allowed banned:allowed disallowed:allowed refuse:accept refuses:accept "
        "refused:accept reject:accept rejects:accept rejected:accept decline:accept declines:accept "
        "declined:accept impossible:possible ineligible:eligible invalid:valid unavailable:available "
        "unable:able nonrefundable:refundable non-refundable:refundable optional:required "
        "unnecessary:required excluded:included excludes:included exclude:included closed:open "
        "disabled:enabled"
    )
)
_SAME = dict(
    pair.split(":")
    for pair in word_set(
        "permitted:allowed permit:allowed allow:allowed allows:allowed includes:included include:included "
        "accepts:accept accepted:accept mandatory:required necessary:required"
    )
)
_NOT = word_set("not no never none nobody nothing neither nor cannot cant wont dont doesnt isnt arent")
_HARMLESS = re.compile(
    r"\b(?:not only|no later than|no more than|no less than|no fewer than|not more than|not less than|no problem"
    r"|(?:do not|don't) (?:worry|hesitate)"
    r"|whether or not|if not|not just|no matter|why not|no doubt)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:unless|except|if|only|until|without|provided|otherwise)\b", re.IGNORECASE)
_CUT = re.compile(
    r"\s*(?:[;:—]|,\s+|\s–\s|\b(?:because|since|so that|while|whereas|which|but|although|however)\b)\s*", re.IGNORECASE
)
STOP = word_set(
    "a an the and or of to in on at for from by with as is are was were be been being am do does did have "
    "has had will would can could may might must shall should i you he she it we they me him her us them "
    "my your his its our their this that these those there here then than so if when where who whom which "
    "what how why all any some each every both more most other such own same too very just also please "
    "yes only about into over after before between during up down out off again once get got let make "
    "made need needs want via per within not no never us one within usually generally typically der die "
    "das und oder ein eine einen ist sind zu im in am auf für mit von den dem des nicht kein keine sie "
    "ich wir"
)


class Clause(NamedTuple):
    """``words``: stems of its content; ``negated``: an odd number of negations; ``condition``: its sentence has one."""

    words: frozenset[str]
    negated: bool
    condition: bool
    text: str


def clauses(text: str) -> list[Clause]:
    """The clauses of a text that have words of content."""
    found = []
    for line in text.split("\n"):
        for sentence in sentences(line):
            bare = _HARMLESS.sub(" ", sentence)
            condition = _CONDITION.search(bare) is not None
            for part in _CUT.split(bare):
                words, negated = _read(part)
                if words:
                    found.append(Clause(words, negated, condition, part.strip()))
    return found


def _read(text: str) -> tuple[frozenset[str], bool]:
    negations, content = 0, set()
    for raw in re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text.lower()):
        word = raw.replace("’", "'")
        if word in _NOT or word.endswith("n't") or word == "non":
            negations += 1
            continue
        negations += word in _OPPOSITES
        word = _OPPOSITES.get(word) or _SAME.get(word) or word.removesuffix("'s")
        if word not in STOP and len(word) > 1:
            content.add(stem(word))
    return frozenset(content), negations % 2 == 1


def stem(word: str) -> str:
    """A word without its usual English endings; crude, and the same for all forms that matter here."""
    for ending, put in (
        ("ies", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("edly", ""),
        ("ed", ""),
        ("ly", ""),
        ("es", ""),
        ("s", ""),
    ):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            word = word[: -len(ending)] + put
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word.rstrip("e") if len(word) > 3 else word


def stems(text: str) -> set[str]:
    """The stems of a text's content words and its figures."""
    words = {stem(word) for word in re.findall(r"[^\W\d_]{2,}", text.lower().replace("'s", "")) if word not in STOP}
    return words | set(re.findall(r"\d+(?:[.,]\d+)?", text))
