"""``nightshift gate plan``: what the gate of a recipe can show before a night."""

import json

from tasks.gate.plan_gate import as_json, in_words
from tasks.gate.steps import plan_of


def plan(recipe: str, goal: float, *, json_wanted: bool) -> str:
    """Whether the gate of a recipe has the power it needs, in words or as one JSON object."""
    planned = plan_of(recipe, goal)
    return json.dumps(as_json(planned)) if json_wanted else in_words(planned)
