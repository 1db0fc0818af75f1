"""The ``extract`` check: what others' suites take out of an answer, and how they compare it. Pure.

Our own ``exact`` and ``regex`` checks read an answer as people do. These rules are those of lm-evaluation-harness (its
``regex`` and ``remove_whitespace`` filters and its ``exact_match`` metric) and of inspect_ai's ``pattern`` scorer: an
answer is right here where it is right there.
"""

import re
import string

from tasks.gate.suites import Check

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = str.maketrans("", "", string.digits)


def extracted(check: Check, answer: str) -> bool:
    """Whether what is taken out of the answer equals one of the check's texts."""
    found = found_in(check, answer)
    return found is not None and folded(found, check) in {folded(text, check) for text in check.texts}


def found_in(check: Check, answer: str) -> str | None:
    """The first (or last) match of the pattern, of a pattern with groups its first group that isn't empty.

    Without a pattern, the whole answer. None where nothing matches.
    """
    found: str | None = answer
    if check.pattern:
        matches = list(re.finditer(check.pattern, answer))
        if not matches:
            return None
        match = matches[0 if check.pick == "first" else -1]
        found = next((group for group in match.groups() if group), None) if match.re.groups else match.group()
    return found.strip() if found is not None and "strip" in check.fold else found


def folded(text: str, check: Check) -> str:
    """A text without what doesn't count in the comparison. ``strip`` is about answers only, and not done here."""
    for pattern in check.drop:
        text = re.sub(pattern, "", text)
    if "case" in check.fold:
        text = text.lower()
    if "punctuation" in check.fold:
        text = text.translate(_PUNCTUATION)
    if "digits" in check.fold:
        text = text.translate(_DIGITS)
    return text
