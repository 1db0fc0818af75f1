"""What language a text is in: py3langid (Lui & Baldwin 2012, ACL demo), a classifier over bytes.

Short texts say too little ("OK", "3 pm"), and where the classifier is unsure nothing is proven: only a text that it
takes for a language with confidence counts as one.
"""

from functools import lru_cache
from typing import Any

# letters below which a text says nothing of its language, and the confidence above which it does
LETTERS = 24
SURE = 0.9


def same_language(expected: str, text: str) -> bool:
    """False only where the text is surely in another language.

    Args:
        expected: ISO 639-1 code; one the classifier doesn't know, or none, is taken for every language.
    """
    if expected not in _identifier().labels:
        return True
    found = language_of(text)
    return found is None or found == expected


def language_of(text: str) -> str | None:
    """The text's ISO 639-1 code; None where it is too short or the classifier unsure."""
    if sum(char.isalpha() for char in text) < LETTERS:
        return None
    found, confidence = _identifier().classify(text)
    return str(found) if confidence >= SURE else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
