"""``nightshift clean`` and ``nightshift metrics``: their options, and one call each. They need no Prefect."""

import argparse
import json
from collections.abc import Callable


def add_life_commands(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The options of both."""
    clean = command("clean", "remove what nothing needs any more: old checkpoints, snapshots, folders of nights")
    clean.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    clean.add_argument("--json", action="store_true", help="one JSON object")
    metrics = command("metrics", "serve /metrics for Prometheus, /healthz and /readyz at this terminal, until Ctrl-C")
    metrics.add_argument("--port", type=int, default=4301, help="port to listen on, on NIGHTSHIFT_HOST (default: 4301)")
    metrics.add_argument("--once", action="store_true", help="print the metrics and end, e.g. for a textfile collector")


def _clean(options: argparse.Namespace) -> int:
    from tasks.retention import clean_home, in_words

    done = clean_home(dry_run=options.dry_run)
    print(json.dumps(done.model_dump()) if options.json else in_words(done))
    return 0


def _metrics(options: argparse.Namespace) -> int:
    from flows.observed import print_once, serve_here

    return print_once() if options.once else serve_here(options.port)


LIFE: dict[str, Callable[[argparse.Namespace], int]] = {"clean": _clean, "metrics": _metrics}
