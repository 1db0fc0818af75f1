"""The registry guard under load: MLflow with plain basic-auth and with the guard, side by side in one run.

    python benchmarks/guard.py                # SQLite; some minutes on two cores, nothing beside it
    python benchmarks/guard.py --postgres     # and PostgreSQL, from Debian's package

16 clients, each with a trainer's account of its own and the approvers' and the service's accounts, take versions from
registration to `champion`. Both servers are up all the time with one worker, and are loaded in turn, block by block, in
an order that alternates (A B, B A, ...): a machine that gets slower gets slower for both.

- closed: every client sends as soon as it has its answer; 1,000 operations a server. On several models, as in real
  life, and on one, where every change waits for the one before. It shows whether anything is lost, and the rate.
- open: requests come at random times (Poisson, the same for both servers) at a fixed rate, half of what the guarded
  server managed in the closed run, dealt out to the same 16 clients; a request's time counts from when it should have
  been sent. 1,000 operations a server.

`p95_added_ms` is the difference of the open runs' 95th percentiles. In the closed run the 16 clients keep a server
full: an answer takes as long as 16 requests are computed, so a millisecond more in each adds sixteen to all, and the
figure says how many clients there are rather than what the guard costs. It is beside it, as `closed.p95_added_ms`.

basic-auth hashes the password on every call by default, which takes longer than all the rest and hides the guard. Both
servers therefore remember a checked password for ten minutes (`auth_cache_ttl_seconds`); `--cache 0` is the default's.

Afterwards everything that was acknowledged is read back from the registry, and from the ledger, which must have it
exactly once as asked and as done. The last line is one JSON object; the exit status is 1 if anything was lost.
"""

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.guard_load import (  # noqa: E402
    CLIENTS,
    STEPS,
    Answer,
    Client,
    accounts,
    check,
    closed_loop,
    life,
    open_loop,
    setup,
)
from benchmarks.guard_servers import APPS, NewDatabase, Server, postgres, serving, sqlite  # noqa: E402
from infra.errors import NightshiftError  # noqa: E402
from infra.settings import apply_environment, load_settings  # noqa: E402

SHARE = 0.5  # of the guarded server's closed rate, offered in the open run
SEVERAL, ONE = tuple(f"model-{number}" for number in range(8)), ("model-one",)


class Block(NamedTuple):
    """What one server did in its turn."""

    answers: list[Answer]
    seconds: float


Blocks = dict[str, list[Block]]  # app → its blocks


def main() -> int:
    apply_environment(load_settings())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL too")
    parser.add_argument("--operations", type=int, default=1000, help="for each server in each run")
    parser.add_argument("--blocks", type=int, default=5, help="that a run is cut into")
    parser.add_argument("--cache", type=int, default=600, help="seconds for which a checked password is remembered")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # so that the servers are stopped, whoever stops this
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    result: dict[str, Any] = {}
    try:
        for name in ("sqlite", "postgres") if options.postgres else ("sqlite",):
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                database = stack.enter_context(postgres() if name == "postgres" else sqlite(Path(folder)))
                result[name] = measure(name, Path(folder), database, options)
    except NightshiftError as error:
        print(error, file=sys.stderr)
        return 1
    summary = in_all(result, options)
    print(json.dumps(summary, allow_nan=False))
    return int(summary["lost"] > 0 or summary["failed"] > 0 or not summary["chain_whole"])


def measure(name: str, folder: Path, database: NewDatabase, options: argparse.Namespace) -> dict[str, Any]:
    """All runs on one database, and whether everything is there after them."""
    say(f"{name}: starting both servers")
    with ExitStack() as stack:
        servers = {
            app: stack.enter_context(serving(app, folder / app, database, accounts(), options.cache, options.workers))
            for app in APPS
        }
        begun = {app: prepare(server, [*SEVERAL, *ONE]) for app, server in servers.items()}
        several, one = ({app: lives(server, models) for app, server in servers.items()} for models in (SEVERAL, ONE))
        clients = {app: [*several[app], *one[app]] for app in APPS}
        for app in APPS:  # log in everybody, load what is loaded late
            closed_loop(several[app], CLIENTS * STEPS)
        found: dict[str, Any] = {}
        for label, those in (("closed", several), ("closed_one_model", one)):
            say(f"{name}: {label}")
            found[label] = described(in_turn(servers, options.blocks, closed_block(those, options)))
        rate = SHARE * found["closed"]["guard"]["rate"]
        say(f"{name}: open, {rate:.1f} a second")
        found["open"] = described(in_turn(servers, options.blocks, open_block(several, rate, options)))
        found["open"]["offered_rate"] = round(rate, 2)
        say(f"{name}: reading everything back")
        table(name, found)
        kept = {app: [*begun[app], *(one for client in clients[app] for one in client.answers)] for app in APPS}
        for app in APPS:
            for client in clients[app]:
                client.close()
        return found | checked(servers, kept)


def prepare(server: Server, models: Sequence[str]) -> list[Answer]:
    client = Client(server, setup(models))
    while client.step():
        pass
    client.close()
    return client.answers


def lives(server: Server, models: Sequence[str]) -> list[Client]:
    return [Client(server, life(number, models)) for number in range(CLIENTS)]


def in_turn(servers: Mapping[str, Server], blocks: int, run: Callable[[str, int], list[Answer]]) -> Blocks:
    """Each block on one server, then on the other; the one that was last begins the next."""
    order = list(servers)
    done: Blocks = {app: [] for app in order}
    for block in range(blocks):
        for app in order:
            begun = time.perf_counter()
            answers = run(app, block)
            done[app].append(Block(answers, time.perf_counter() - begun))
        order.reverse()
    return done


def closed_block(
    clients: Mapping[str, list[Client]], options: argparse.Namespace
) -> Callable[[str, int], list[Answer]]:
    return lambda app, block: closed_loop(clients[app], share_of(options.operations, options.blocks, block))


def open_block(
    clients: Mapping[str, list[Client]], rate: float, options: argparse.Namespace
) -> Callable[[str, int], list[Answer]]:
    def run(app: str, block: int) -> list[Answer]:
        count = share_of(options.operations, options.blocks, block)
        return open_loop(clients[app], arrivals(rate, count, options.seed + block))

    return run


def share_of(total: int, parts: int, number: int) -> int:
    """Whole parts that sum to the total."""
    return total * (number + 1) // parts - total * number // parts


def arrivals(rate: float, count: int, seed: int) -> list[float]:
    """Seconds from the start at which requests come, at random and independent of each other."""
    chance, now, found = random.Random(seed), 0.0, []
    for _ in range(count):
        now += chance.expovariate(rate)
        found.append(now)
    return found


def described(blocks: Blocks) -> dict[str, Any]:
    """Both servers' figures and the difference; per block too, which shows how sure it is."""
    found: dict[str, Any] = {}
    for app, those in blocks.items():
        answers = [one for block in those for one in block.answers]
        milliseconds = [1000 * one.seconds for one in answers]
        found[app] = {
            "operations": len(answers),
            "rate": round(len(answers) / sum(block.seconds for block in those), 2),
            "p50_ms": round(statistics.median(milliseconds), 2),
            "p95_ms": round(p95(milliseconds), 2),
        }
    found["p95_added_ms"] = round(found["guard"]["p95_ms"] - found["plain"]["p95_ms"], 2)
    found["p50_added_ms"] = round(found["guard"]["p50_ms"] - found["plain"]["p50_ms"], 2)
    ours, theirs = ([p95([1000 * one.seconds for one in block.answers]) for block in blocks[app]]
                    for app in ("guard", "plain"))  # fmt: skip
    found["p95_added_by_block_ms"] = [round(one - other, 2) for one, other in zip(ours, theirs, strict=True)]
    return found


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[94]


def checked(servers: Mapping[str, Server], answers: Mapping[str, Sequence[Answer]]) -> dict[str, Any]:
    """What was refused or lost, on both servers; the first of each is printed."""
    refused = [one for those in answers.values() for one in those if one.status != 200]
    kept = {app: check(server, answers[app]) for app, server in servers.items()}
    lost = [f"{app}: {sentence}" for app, one in kept.items() for sentence in one.lost]
    for sentence in [
        *lost[:10],
        *kept["guard"].chain[:10],
        *(f"{one.operation}: {one.text:.300}" for one in refused[:10]),
    ]:
        say(sentence)
    return {
        "acknowledged": {app: one.acknowledged for app, one in kept.items()},
        "failed": len(refused),
        "lost": len(lost),
        "chain_whole": not kept["guard"].chain,
    }


def in_all(databases: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the database on which the guard adds most, and what every one of them lost."""
    worst = max(databases, key=lambda name: databases[name]["open"]["p95_added_ms"])
    run = databases[worst]["open"]
    return {
        "operations": options.operations,
        "clients": CLIENTS,
        "lost": sum(one["lost"] for one in databases.values()),
        "failed": sum(one["failed"] for one in databases.values()),
        "chain_whole": all(one["chain_whole"] for one in databases.values()),
        "p95_of": f"open loop, {run['offered_rate']} operations a second, {worst}",
        "p95_plain_ms": run["plain"]["p95_ms"],
        "p95_guard_ms": run["guard"]["p95_ms"],
        "p95_added_ms": run["p95_added_ms"],
        "auth_cache_seconds": options.cache,
        "workers": options.workers,
        **databases,
    }


def table(name: str, found: Mapping[str, Any]) -> None:
    print(f"\n{name:18}{'plain':>28}{'guard':>28}{'added, ms':>20}")
    print(f"{'':18}" + f"{'p50 / p95 ms':>18}{'a second':>10}" * 2 + f"{'p50 / p95':>20}")
    for label in ("closed", "closed_one_model", "open"):
        run = found[label]
        cells = [f"{pair(run[app], 'p50_ms', 'p95_ms'):>18}{run[app]['rate']:>10.1f}" for app in APPS]
        print(f"{label:18}{''.join(cells)}{pair(run, 'p50_added_ms', 'p95_added_ms'):>20}")


def pair(figures: Mapping[str, float], one: str, other: str) -> str:
    return f"{figures[one]:.1f} / {figures[other]:.1f}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
