"""A tokenizer's own ids some times faster: its words are looked up, only new ones are encoded.

A BPE tokenizer on bytes cuts a text into words by a regular expression and encodes each alone, so a word's ids are the
same wherever it stands, and a corpus has few different words. ``tokenizers`` spends nearly all of its time on the
cutting; the ``regex`` module does it faster. Whether both agree is tried on the first texts of each run: where not, or
where a tokenizer works in another way, the library encodes all.
"""

import re
from collections.abc import Sequence
from typing import Any

import regex
from tokenizers import Tokenizer

_TRIED = 48  # texts of a run that are encoded both ways
_KEPT, _LONGEST = 200_000, 48  # words, and a word's length

# GPT-2's, which ByteLevel uses where it cuts by itself
_BYTE_LEVEL = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class Encoder:
    """Ids of texts, without special tokens at their ends: exactly ``tokenizer.encode_batch_fast``'s."""

    def __init__(self, tokenizer: Tokenizer, told: dict[str, Any]) -> None:
        """``told``: the tokenizer as JSON."""
        self.tokenizer = tokenizer
        self.cuts = cuts_of(told)
        added = tokenizer.get_added_tokens_decoder()
        self._added = {token.content: [number] for number, token in added.items()}
        names = sorted(self._added, key=len, reverse=True)  # longest first: so the tokenizer itself looks for them
        self._structure = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None
        if any(one.lstrip or one.rstrip or one.single_word or one.normalized for one in added.values()):
            self.cuts = None
        self._known = dict(self._added)
        self._untried = _TRIED

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text, in order."""
        if self.cuts is None:
            return self._encode(texts)
        words = [self._words(text) for text in texts]
        if any("".join(one) != text for one, text in zip(words, texts, strict=True)):
            self.cuts = None  # the expressions leave something over
            return self._encode(texts)
        found = self._look_up(words)
        if self._untried:
            tried = texts[: self._untried]
            self._untried -= len(tried)
            if self._encode(tried) != found[: len(tried)]:
                self.cuts = None
                return self._encode(texts)
        return found

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _look_up(self, words: Sequence[Sequence[str]]) -> list[list[int]]:
        if len(self._known) > _KEPT:
            self._known = dict(self._added)
        known = self._known
        new = list({word for one in words for word in one if word not in known})
        known.update(zip(new, self._encode(new), strict=True))
        found = [[number for word in one for number in known[word]] for one in words]
        for word in new:
            if len(word) > _LONGEST:
                del known[word]
        return found

    def _words(self, text: str) -> list[str]:
        parts = self._structure.split(text) if self._structure else [text]
        words = []
        for part in parts:
            if part in self._added:
                words.append(part)
                continue
            pieces = [part] if part else []
            for cut in self.cuts or ():
                pieces = [word for piece in pieces for word in cut.findall(piece)]
            words += pieces
        return words


def cuts_of(told: dict[str, Any]) -> list[Any] | None:
    """The regular expressions that cut a text into words, one after another; None: it isn't so simple.

    Args:
        told: the tokenizer as JSON.
    """
    if told.get("normalizer") is not None or told["model"]["type"] != "BPE" or told["model"].get("dropout"):
        return None
    steps = told.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    cuts = []
    for step in steps:
        match step:
            case {"type": "Digits", "individual_digits": True}:
                cuts.append(r"\p{N}|\P{N}+")
            case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
                cuts.append(pattern)
            case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": uses}:
                cuts += [_BYTE_LEVEL] if uses else []
            case _:
                return None
    if not cuts or steps[-1]["type"] != "ByteLevel":
        return None
    try:
        compiled = [regex.compile(one) for one in cuts]
    except regex.error:
        return None
    return None if any(one.groups for one in compiled) else compiled  # of one with groups `findall` gives the groups
