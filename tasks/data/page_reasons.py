"""What each check of the data means, and what to do about rows that fail it: a sentence each, for people."""

from typing import NamedTuple


class Meaning(NamedTuple):
    means: str
    do: str


MEANINGS: dict[str, Meaning] = {
    "unreadable": Meaning(
        "No record could be read here: broken bytes, broken JSON, or not the source's kind.",
        "Look at the error and mend the export; records before and after it are kept.",
    ),
    "roles": Meaning(
        "The messages don't take turns from a user's to the assistant's answer.",
        "Check `kind` and `form` of the source, and the roles that the export writes.",
    ),
    "empty_prompt": Meaning("There is nothing to answer.", "Leave such rows out of the export."),
    "empty_answer": Meaning(
        "An answer is missing or holds white space only.", "Find out whether the export cuts answers off."
    ),
    "equal_answers": Meaning("Chosen and rejected are the same text, so nothing is preferred.", "Leave them out."),
    "timestamp_unreadable": Meaning("The time is no ISO date.", "Write times as 2026-11-26T02:00:00Z."),
    "timestamp_in_future": Meaning(
        "The time is more than a day ahead.", "Set the clock, or the time zone, of what writes the export."
    ),
    "template_tokens": Meaning(
        "A text holds a chat template's own marks, which a tokenizer may read as structure.",
        "Take them out of the text where it is logged; never train on them.",
    ),
    "control_characters": Meaning(
        "A text holds control characters, NUL among them.", "Find what writes them; terminals and broken encodings do."
    ),
    "email": Meaning("A text holds an e-mail address.", "Anonymise at the source, or let the recipe mask it."),
    "phone": Meaning("A text holds a telephone number.", "Anonymise at the source, or let the recipe mask it."),
    "iban": Meaning("A text holds a bank account (IBAN).", "Anonymise at the source, or let the recipe mask it."),
    "card": Meaning("A text holds a payment card's number.", "Anonymise at the source, or let the recipe mask it."),
    "ip": Meaning("A text holds an IP address.", "Anonymise at the source, or let the recipe mask it."),
    "secret": Meaning(
        "A text holds a key, a token or a password.", "Revoke it first: it lies in logs. Then anonymise at the source."
    ),
    "duplicate_id": Meaning(
        "An earlier row has the same id; the first is kept.", "Give every record an id of its own, or none."
    ),
    "duplicate_pair": Meaning(
        "An earlier row is the same, word by word; the first is kept.", "Find out whether the export repeats itself."
    ),
    "near_duplicate": Meaning(
        "Prompt and answers are nearly those of an earlier row, which is kept.",
        "Nothing, unless there are many: then the export holds templates.",
    ),
    "near_contradiction": Meaning(
        "Nearly the same prompt and answers as another row, preferred the other way round; both leave.",
        "Let one person decide which answer is better.",
    ),
    "contradiction": Meaning(
        "Preferences of one prompt contradict each other, in a pair or in a circle; all sides leave.",
        "Let one person decide, and export that decision with a later time.",
    ),
    "relabelled": Meaning(
        "The same annotator decided otherwise later; the later decision is kept.", "Nothing: this is how it should be."
    ),
    "prompt_too_long": Meaning(
        "The prompt has more tokens than the recipe allows.", "Shorten it, or raise `data.max_prompt_tokens`."
    ),
    "answer_too_long": Meaning(
        "An answer has more tokens than the recipe allows.", "Shorten it, or raise `data.max_answer_tokens`."
    ),
    "answer_too_short": Meaning(
        "An answer has fewer tokens than the recipe asks for.", "Leave it out, or lower `data.min_answer_tokens`."
    ),
    "cut_equal": Meaning(
        "Cut at the recipe's bounds, chosen and rejected are the same text.", "Raise the bounds, or shorten the prompt."
    ),
    "cut_empty": Meaning("Cut at the recipe's bounds, an answer is empty.", "Raise the bounds, or shorten the prompt."),
    "template": Meaning(
        "The model's chat template can't write these messages, or they don't come back from it as they were.",
        "Check roles and texts against the model's template.",
    ),
    "gate_overlap": Meaning(
        "The row shares text with an item that the gate asks: the model would be judged by its memory.",
        "Keep the gate's items out of what is logged and labelled.",
    ),
    "house_overlap": Meaning(
        "It shares thirteen words or more with the prompt of a held-out pair: another turn of the same talk, or a "
        "template.",
        "Nothing to mend where talks have many turns; else see what the prompts have in common.",
    ),
}
_UNKNOWN = Meaning("A check that has no sentence here yet.", "Look it up in `tasks/data/checks.py`.")


def meaning(name: str) -> Meaning:
    """A check's sentences; of one that is not listed, where to look."""
    return MEANINGS.get(name, _UNKNOWN)
