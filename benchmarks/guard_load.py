"""The work of benchmarks/guard.py: registry operations by many clients at once, and whether all of them are there.

A client takes a version through its life with the accounts that do it: a trainer registers and requests, an approver
approves (and the guard writes who did), the service account moves `champion`.
"""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import httpx

from benchmarks.guard_servers import Server
from infra.ledger import problems
from infra.registry_guard.journal import journal_path, verify
from infra.registry_guard.terms import GUARD as GUARD_USER

GUARD = GUARD_USER.name  # as the ledger names it
CLIENTS, APPROVERS = 16, 4
API = "/api/2.0/mlflow"
STEPS = 6  # of a version's life


class Operation(NamedTuple):
    """A change of the registry, as both the registry and the ledger can be asked about it."""

    kind: str
    model: str
    version: str = ""
    key: str = ""  # of a tag, or an alias
    value: str = ""


class Request(NamedTuple):
    who: str
    path: str
    body: dict[str, Any]
    operation: Operation


class Answer(NamedTuple):
    operation: Operation
    status: int
    seconds: float
    text: str = ""  # where it wasn't 200
    tags: frozenset[tuple[str, str]] = frozenset()  # that a new version was made with


def accounts() -> dict[str, str]:
    """Name → role: a trainer a client, some approvers, one service account."""
    trainers = {f"trainer{number}": "trainer" for number in range(CLIENTS)}
    approvers = {f"approver{number}": "approver" for number in range(APPROVERS)}
    return {"admin": "admin", "service": "service", **trainers, **approvers}


def setup(models: Iterable[str]) -> Generator[Request, str, None]:
    """Models with a base version that serves."""
    for model in models:
        yield Request("service", "/registered-models/create", {"name": model}, Operation("create_model", model))
        tags = {"nightshift.key": f"{model}-base", "nightshift.role": "base"}
        base = yield _create("service", model, tags)
        for alias in ("anchor", "champion", "previous"):
            yield _alias("service", model, base, alias)


def life(number: int, models: Sequence[str]) -> Generator[Request, str, None]:
    """What client ``number`` asks for, version after version, each of the next model; is sent each new version."""
    trainer, approver = f"trainer{number}", f"approver{number % APPROVERS}"
    for round_ in count():
        model = models[(number + round_) % len(models)]
        tags = {"key": f"{number}-{round_}-{model}", "role": "candidate", "verdict": "PASS", "promotable": "true"}
        version = yield _create(trainer, model, {f"nightshift.{key}": value for key, value in tags.items()})
        yield _tag(trainer, model, version, "nightshift.note", "cost 1.20 EUR, 0.4 kWh")
        yield _tag(trainer, model, version, "approval.expires", (datetime.now(UTC) + timedelta(days=1)).isoformat())
        yield _tag(trainer, model, version, "approval", "requested")
        yield _tag(approver, model, version, "approval", "approved")
        yield _alias("service", model, version, "champion")


def _create(who: str, model: str, tags: dict[str, str]) -> Request:
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    body = {"name": model, "source": "store:/x", "tags": listed}
    return Request(who, "/model-versions/create", body, Operation("create_version", model))


def _tag(who: str, model: str, version: str, key: str, value: str) -> Request:
    body = {"name": model, "version": version, "key": key, "value": value}
    return Request(who, "/model-versions/set-tag", body, Operation("set_version_tag", model, version, key, value))


def _alias(who: str, model: str, version: str, alias: str) -> Request:
    body = {"name": model, "version": version, "alias": alias}
    return Request(who, "/registered-models/alias", body, Operation("set_alias", model, version, alias))


class Client:
    """One of many: a connection that is kept, and a life to go through, step by step."""

    def __init__(self, server: Server, requests: Generator[Request, str, None]) -> None:
        # the header is made once: what is measured is the server
        self._logins = {who: {"Authorization": _basic(who, word)} for who, word in server.passwords.items()}
        self._http = httpx.Client(base_url=server.url + API, timeout=120, trust_env=False)
        self._requests = requests
        self._next: Request | None = next(requests)
        self.answers: list[Answer] = []

    def step(self, due: float | None = None) -> bool:
        """Send the next request and keep how it was answered; False where there is none.

        Args:
            due: when it should have been sent (``time.perf_counter``): waiting since then counts.
        """
        request = self._next
        if request is None:
            return False
        begun = time.perf_counter() if due is None else due
        answer = self._http.post(request.path, json=request.body, headers=self._logins[request.who])
        seconds = time.perf_counter() - begun
        self._take(request, answer, seconds)
        return True

    def _take(self, request: Request, answer: httpx.Response, seconds: float) -> None:
        operation, well = request.operation, answer.status_code == 200
        tags: frozenset[tuple[str, str]] = frozenset()
        if well and operation.kind == "create_version":
            operation = operation._replace(version=answer.json()["model_version"]["version"])
            tags = frozenset((one["key"], one["value"]) for one in request.body["tags"])
        self.answers.append(Answer(operation, answer.status_code, seconds, "" if well else answer.text, tags))
        try:
            self._next = self._requests.send(operation.version)
        except StopIteration:
            self._next = None

    def close(self) -> None:
        self._http.close()


def _basic(who: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{who}:{password}".encode()).decode()


def closed_loop(clients: Sequence[Client], operations: int) -> list[Answer]:
    """All clients at once, each sends when the one before is answered; ``operations`` in all."""
    tickets, lock = iter(range(operations)), threading.Lock()

    def work(client: Client) -> None:
        while True:
            with lock:
                if next(tickets, None) is None:
                    return
            client.step()

    return _all(clients, [lambda client=client: work(client) for client in clients])


def open_loop(clients: Sequence[Client], arrivals: Sequence[float]) -> list[Answer]:
    """A request at each of the ``arrivals`` (seconds from now), dealt out to the clients in turn.

    A client that is still waiting for an answer then sends as soon as it has it, and the delay counts.
    """
    begun = time.perf_counter() + 0.05

    def work(client: Client, own: Sequence[float]) -> None:
        for arrival in own:
            time.sleep(max(0.0, begun + arrival - time.perf_counter()))
            client.step(begun + arrival)

    share = [arrivals[number :: len(clients)] for number in range(len(clients))]
    return _all(clients, [lambda c=client, own=own: work(c, own) for client, own in zip(clients, share, strict=True)])


def _all(clients: Sequence[Client], works: Sequence[Any]) -> list[Answer]:
    """Run all works at once; the answers they brought."""
    known = [len(client.answers) for client in clients]
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()
    return [one for client, old in zip(clients, known, strict=True) for one in client.answers[old:]]


# --- is all of it there? ---


class Kept(NamedTuple):
    """What became of the operations that were answered with 200."""

    acknowledged: int
    lost: list[str]  # a sentence each
    chain: list[str]  # what `verify` says of the ledger


def check(server: Server, answers: Sequence[Answer]) -> Kept:
    """Read back everything that was acknowledged, from the registry and, where it is guarded, from the ledger."""
    well = [one for one in answers if one.status == 200]
    tags, aliases = _read_back(server, {one.operation.model for one in well})
    lost = in_registry(well, tags, aliases)
    chain: list[str] = []
    if server.app == "guard":
        path = journal_path(server.home)
        chain = verify(path)
        lines = [{"line": one.kind, **one.body} for one in problems(path)[0]]
        lost += in_ledger([one.operation for one in well], lines) + out_of_order(lines, aliases)
    return Kept(len(well), lost, chain)


Tags = dict[tuple[str, str], dict[str, str]]  # model, version → its tags
Aliases = dict[str, dict[str, str]]  # model → alias → version


def in_registry(answers: Sequence[Answer], tags: Tags, aliases: Aliases) -> list[str]:
    """Acknowledged operations that the registry doesn't show. Each tag is set last to what its client set last."""
    last = {(one.operation.model, one.operation.version, one.operation.key): one.operation.value
            for one in answers if one.operation.kind == "set_version_tag"}  # fmt: skip
    moved: dict[tuple[str, str], set[str]] = {}
    lost = []
    for model, version, key, value in [(*where, value) for where, value in last.items()]:
        if tags.get((model, version), {}).get(key) != value:
            lost.append(f"{key} = {value} of version {version} of {model} is not in the registry")
    for answer in answers:
        one = answer.operation
        if one.kind == "set_alias":
            moved.setdefault((one.model, one.key), set()).add(one.version)
        elif one.kind == "create_model" and one.model not in aliases:
            lost.append(f"{one.model} is not in the registry")
        elif one.kind == "create_version":
            found = tags.get((one.model, one.version))
            if found is None or not answer.tags <= found.items():
                lost.append(f"version {one.version} of {one.model} is not in the registry as it was made")
    for (model, alias), versions in moved.items():
        if aliases.get(model, {}).get(alias) not in versions:
            lost.append(f"{alias} of {model} points to none of the versions it was moved to")
    return lost


def in_ledger(acknowledged: Sequence[Operation], lines: Sequence[dict[str, Any]]) -> list[str]:
    """Acknowledged operations that aren't there exactly once as asked and done, and lines that nobody was told of."""
    asked = Counter(line["request"] for line in lines if line["line"] == "asked")
    done: dict[Operation, list[str]] = {}
    for line in lines:
        if line["line"] == "done" and line["status"] == 200 and line["user"] != GUARD:
            done.setdefault(_operation(line), []).append(line["request"])
    lost = [
        f"version {one.version} of {one.model} was approved by {one.value}, and the guard did not write so once"
        for one, times in _approvals(lines).items()
        if times != 1
    ]
    told = Counter(acknowledged)
    for one, times in told.items():
        requests = done.get(one, [])
        if len(set(requests)) != times or [asked[request] for request in requests] != [1] * times:
            lost.append(f"{one} was acknowledged {times} times; the ledger says done {len(requests)} times")
    return lost + [f"{one} is done in the ledger, and nobody was told" for one in done if one not in told]


def _approvals(lines: Sequence[dict[str, Any]]) -> dict[Operation, int]:
    """How often the guard itself wrote who approved, of each approval that was done."""
    made = [line for line in lines if line["line"] == "done" and line["status"] == 200]
    written = Counter(_operation(line) for line in made if line["user"] == GUARD)
    decided = [line for line in made if _operation(line)[3:] == ("approval", "approved")]
    by = [_operation(line)._replace(key="approval.by", value=line["user"]) for line in decided]
    return {one: written[one] for one in by}


def out_of_order(lines: Sequence[dict[str, Any]], aliases: Aliases) -> list[str]:
    """Aliases that don't point where the ledger's last line about them says."""
    last: dict[tuple[str, str], str] = {}
    for line in lines:
        if line["line"] == "done" and line["status"] == 200 and line["change"]["kind"] == "set_alias":
            last[line["change"]["model"], line["change"]["alias"]] = line["change"]["version"]
    return [
        f"{alias} of {model} is {aliases.get(model, {}).get(alias)} in the registry and {version} in the ledger"
        for (model, alias), version in last.items()
        if aliases.get(model, {}).get(alias) != version
    ]


def _operation(line: dict[str, Any]) -> Operation:
    change = line["change"]
    version = change.get("version") or str(line["after"].get("version", ""))
    name = change.get("key") or change.get("alias", "")
    return Operation(change["kind"], change["model"], version, name, change.get("value", ""))


def _read_back(server: Server, models: Iterable[str]) -> tuple[Tags, Aliases]:
    tags: Tags = {}
    aliases: Aliases = {}
    login = ("service", server.passwords["service"])
    with httpx.Client(base_url=server.url + API, timeout=120, trust_env=False, auth=login) as http:
        for model in models:
            found = _get(http, "/registered-models/get", name=model)["registered_model"]
            aliases[model] = {one["alias"]: one["version"] for one in found.get("aliases", [])}
            token = ""
            while token is not None:
                query = {"filter": f"name = '{model}'", "max_results": 1000, "page_token": token}
                page = _get(http, "/model-versions/search", **query)
                for one in page.get("model_versions", []):
                    tags[model, one["version"]] = {tag["key"]: tag["value"] for tag in one.get("tags", [])}
                token = page.get("next_page_token")
    return tags, aliases


def _get(http: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = http.get(path, params=query)
    answer.raise_for_status()
    return json.loads(answer.text)
