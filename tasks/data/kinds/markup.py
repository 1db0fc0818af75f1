"""Marks in a text that a model or a screen takes for more than text: a chat template's tokens, control characters.

The text is kept as it is; its row is flagged. Cutting such a mark out would make another text of it, which nobody wrote
and nobody preferred. Both patterns keep to what Python, RE2 and Java's expressions share.
"""

import re
from collections.abc import Sequence

TEMPLATE_TOKENS = (
    r"<\|[A-Za-z0-9_]{1,40}\|>"  # ChatML, Llama 3, Phi, GPT: <|im_start|>, <|eot_id|>, <|endoftext|>
    r"|<｜[^｜<>]{1,40}｜>"  # DeepSeek
    r"|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]|<</?SYS>>"  # Llama 2, Mistral
    r"|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>"  # SentencePiece models, Gemma
    r"|<\|?(?:begin|end)_of_(?:text|sentence)\|?>"
    r"|\n\n(?:Human|Assistant):"  # the marks of HH transcripts, outside of one
)
"""Tokens that templates of common models write: in a text, the tokenizer would read them as structure."""

CONTROL_CHARACTERS = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
    "\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows (CVE-2021-42574)
    "\ufff9-\ufffb\ufeff\ufffe\uffff]"
    # letters nobody sees (U+E0020 to U+E007F), but behind a black flag, where they say whose flag it is
    "|(?:^|[^\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]"
)
"""Characters that show nothing, turn the text round, or end it; tab and line ends are none of them."""

_TEMPLATE = re.compile(TEMPLATE_TOKENS)
_CONTROL = re.compile(CONTROL_CHARACTERS)


def template_tokens(text: str, special: Sequence[str] = ()) -> list[str]:
    """The template tokens in a text, each once, in the order they come.

    Args:
        special: the base model's own special tokens, looked for beside the common ones.
    """
    found = [match.group() for match in _TEMPLATE.finditer(text)]
    found += [token for token in special if token and token in text and token not in found]
    return list(dict.fromkeys(found))


def control_characters(text: str) -> list[str]:
    """The control characters in a text as ``U+0000``, each once, in the order they come."""
    return list(dict.fromkeys(f"U+{ord(match.group()[-1]):04X}" for match in _CONTROL.finditer(text)))
