"""Records for the tests of importers: made by hand, or by hypothesis from the names that importers look for."""

import json
from typing import Any

from hypothesis import strategies as st

from tasks.data.kinds.build import build
from tasks.data.records import Record
from tasks.data.rows import Built

USER, YES, NO = (
    {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "y"), ("assistant", "n"))
)


def record(value: dict[str, Any], line: int = 1) -> Record:
    return Record(value, json.dumps(value).encode(), line)


def built(kind: str, value: dict[str, Any], form: str = "auto") -> list[Built]:
    return build(kind, form, record(value))


def texts(one: Built) -> tuple[list[str], list[str], list[str]]:
    """Contents of prompt, chosen and rejected."""
    prompt, chosen, rejected = ([turn["content"] for turn in part] for part in (one.prompt, one.chosen, one.rejected))
    return prompt, chosen, rejected


# every name that some importer looks for, and some that none does
NAMES = (
    "id conversation_id timestamp created_at tenant annotator chosen_model rejected_model agent_id model weight "
    "prompt chosen rejected system messages "
    "conversations instruction input output history question chosen_response rejected_response completions generations "
    "ratings scores generation_models fields responses suggestions best.responses best.responses.users best.suggestion "
    "_server_id label kto_tag thumb feedback rating score stars completion response answer escalated resolved turns "
    "dialogue role content from value event draft edited regenerated_of regenerated author speaker text rank values "
    "user_id status annotations Rating overall_score question_name tool_calls type x"
).split()
WORDS = [
    "user", "assistant", "agent", "bot", "human", "gpt", "system", "action", "handover", "escalated", "resolved", "up",
    "down", "submitted", "best", "response1", "\n\nHuman: a\n\nAssistant: b", '[{"role": "user", "content": "q"}]',
    "m1", "\ud83d", "1e999", "nan", "",
]  # fmt: skip

_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-3, 6)
    | st.sampled_from([10**400, 1e308, -1.5, 0.5, float("nan"), float("inf"), 1_700_000_000])
    | st.text(max_size=5)
    | st.sampled_from(WORDS)
)
_turns = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["m1", "m2"]),
            "role": st.sampled_from(WORDS),
            "content": _leaves,
            "event": st.sampled_from(WORDS),
            "draft": _leaves,
            "regenerated_of": st.sampled_from(["m1", "m2", True]),
            "author": st.sampled_from(["human", "bot"]),
            "feedback": st.sampled_from(["up", "down"]),
        },
    ),
    max_size=6,
)
any_value = st.recursive(
    _leaves | _turns,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
any_record = st.dictionaries(st.sampled_from(NAMES), any_value, max_size=8)
