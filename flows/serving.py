"""Try a registered model on this machine: an endpoint that answers as it would serve, or one question to several."""

import json
import shutil
import sys
from typing import Any

from infra.endpoint import Address, check_address
from infra.pools import default_pool
from tasks import place
from tasks.lm.ask import Asked, ask, check_question, in_columns
from tasks.lm.endpoint import serve_folder
from tasks.lm.merged import dtype_of, merged_folder
from tasks.registry.steps import chosen


def serve(name: str, wanted: str, host: str, port: int) -> None:
    """An OpenAI-compatible endpoint of a registered version, until Ctrl-C."""
    where, pool, home = Address(host, port), default_pool("local"), place.home()
    check_address(where)
    (one,) = chosen(name, [wanted])
    _say(f"Preparing {one.title} of {name} ...")
    folder = merged_folder(one.model, home, place.store(), pool, _progress, quantise=one.quantise)
    serve_folder(folder, f"{name}-v{one.version}", where, dtype_of(pool), place.settings(), _say)


def ask_versions(question: str, name: str, wanted: list[str], max_tokens: int, *, json_wanted: bool) -> str:
    """The answers of several versions to one question, side by side or as one JSON object."""
    check_question(question, max_tokens)
    asked = [Asked(one.called, one.title, one.version, one.model, one.quantise) for one in chosen(name, wanted)]
    answers = ask(question, asked, max_tokens, place.home(), place.store(), default_pool("local"), _progress)
    if json_wanted:
        return json.dumps({"name": name, "question": question, "answers": [one.model_dump() for one in answers]})
    return in_columns(answers, shutil.get_terminal_size((100, 24)).columns)


def _progress(event: dict[str, Any]) -> None:
    if event["event"] == "log":
        _say(f"  {event['text']}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
