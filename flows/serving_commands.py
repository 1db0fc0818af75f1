"""``nightshift serve`` and ``nightshift ask``: their options, and the call of one function each."""

import argparse
from collections.abc import Callable

_NAME = "registered model (the recipe's name)"


def add_serving_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The options of both commands."""
    serve = command("serve", "an OpenAI-compatible endpoint of a registered version on this machine, to try it")
    serve.add_argument("--name", default="demo", help=_NAME)
    which = serve.add_mutually_exclusive_group()
    which.add_argument(
        "--alias",
        default="champion",
        choices=("champion", "candidate", "previous", "anchor"),
        help="which version; candidate: the newest that awaits approval (default champion)",
    )
    which.add_argument("--version", type=int, help="that version instead")
    serve.add_argument("--port", type=int, default=8000, help="(default 8000)")
    serve.add_argument(
        "--host", default="127.0.0.1", help="an address of this machine alone: the server has no login (127.0.0.1)"
    )
    ask = command("ask", "one question to several versions, their answers side by side")
    ask.add_argument("question")
    ask.add_argument("--name", default="demo", help=_NAME)
    ask.add_argument(
        "--versions",
        default="champion,candidate",
        help="aliases, `candidate` or numbers, by comma (default champion,candidate)",
    )
    ask.add_argument("--max-tokens", type=int, default=200, help="of an answer (default 200)")
    ask.add_argument("--json", action="store_true", help="one JSON object")


def _serve(options: argparse.Namespace) -> int:
    from flows.serving import serve

    wanted = options.alias if options.version is None else str(options.version)
    serve(options.name, wanted, options.host, options.port)
    return 0


def _ask(options: argparse.Namespace) -> int:
    from flows.serving import ask_versions

    wanted = options.versions.split(",")
    print(ask_versions(options.question, options.name, wanted, options.max_tokens, json_wanted=options.json))
    return 0


SERVING = {"serve": _serve, "ask": _ask}
