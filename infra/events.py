"""How a program (a process of its own) talks to the step that started it.

One JSON line an event on stdout, behind a mark; lines without it are ordinary output and go to the log. In the other
direction there is only life: the step holds the program's stdin open, and a program whose step was killed ends too,
so that no orphan keeps a device.
"""

import json
import os
import threading
from typing import Any

MARK = "@nightshift "


def emit(event: str, /, **fields: Any) -> None:
    """Send one event from a program to its step."""
    print(MARK + json.dumps({"event": event, **fields}, allow_nan=False), flush=True)


def parse(line: str) -> dict[str, Any] | None:
    """The event in a line of output, or None when the line is ordinary output."""
    if not line.startswith(MARK):
        return None
    return json.loads(line[len(MARK) :])


def die_with_parent() -> None:
    """End this process when its stdin closes, that is, when the step that started it is gone."""

    def watch() -> None:
        # the descriptor, not sys.stdin: a daemon thread inside its buffer makes the interpreter abort at exit
        while os.read(0, 4096):
            pass
        os._exit(75)  # EX_TEMPFAIL: nobody is left to read a better reason

    threading.Thread(target=watch, daemon=True).start()
