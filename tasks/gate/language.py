"""Whether an answer is in its prompt's language: py3langid (Lui & Baldwin 2012, ACL demo), a classifier over bytes.

Short answers say too little ("OK", "3 pm"), and where the classifier is unsure nothing is proven: only an answer that
it takes for another language with confidence counts as one.
"""

from functools import lru_cache
from typing import Any

# letters below which an answer says nothing of its language, and the confidence above which it does
LETTERS = 24
SURE = 0.9


def same_language(expected: str, text: str) -> bool:
    """False only where the text is surely in another language.

    Args:
        expected: ISO 639-1 code; one the classifier doesn't know, or none, is taken for every language.
    """
    identifier = _identifier()
    if expected not in identifier.labels or sum(char.isalpha() for char in text) < LETTERS:
        return True
    found, confidence = identifier.classify(text)
    return bool(found == expected or not confidence >= SURE)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
