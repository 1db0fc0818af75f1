"""What an operator's monitoring reads: metrics and readiness, collected from HOME. A file that can't be read is counted
(``nightshift_unreadable_files``) and takes nothing else with it (docs/guides/operations.md)."""

import functools
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette

from infra.digest import short
from infra.errors import NightshiftError
from infra.exposition import Sample, exposition
from infra.inflight import note_files, read_note
from infra.ledger import TORN, problems
from infra.observed import Part, routes
from infra.price_book import load_price_book
from infra.processes import answers, why_unusable
from infra.registry_guard.bootstrap import refuse_exposure
from infra.registry_guard.journal import journal_path
from infra.settings import Settings, load_settings, prefect_api_url, tracking_uri
from infra.webhooks import serve
from tasks.cost.kept import KeptBill, bill_files, read_bill
from tasks.errors import RegistryError
from tasks.metric_families import FAMILIES
from tasks.metric_nights import check_times, last_ids, night_samples
from tasks.metric_state import audit_samples, awaiting_samples, disk_samples, job_samples, serving_samples
from tasks.registry.audited import read_audited
from tasks.registry.expected import expected_state
from tasks.registry.hold import read_hold
from tasks.registry.incidents import read_incidents
from tasks.registry.manifest import Manifest, read_manifest
from tasks.registry.state import Expected

T = TypeVar("T")

KINDS = ("bill", "summary", "manifest", "hold", "incident", "journal", "audit", "job", "other")
_UNREADABLE = (NightshiftError, OSError, ValueError, KeyError, TypeError, AttributeError)  # what damaged files raise
_LEAST_FREE = 2e9  # bytes: less than one adapter's checkpoint and a snapshot take
_STUCK_SECONDS = 120.0

log = logging.getLogger("nightshift.observed")


def metrics_text(home: Path) -> bytes:
    """All metrics of a state folder, now."""
    return exposition(FAMILIES, collect(home, datetime.now().astimezone()))


def collect(home: Path, now: datetime) -> list[Sample]:
    """Everything there is to say; what can't be read is counted by kind."""
    bad: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    found: list[Sample] = []
    parts: tuple[Callable[[], Iterable[Sample]], ...] = (
        lambda: _nights(home, now, bad),
        lambda: _serving(home, bad),
        lambda: _audits(home, bad),
        lambda: awaiting_samples(_journal(home, bad), now),
        lambda: job_samples(job for jobs in _each(note_files(home), read_note, "job", bad) for job in jobs),
        lambda: disk_samples(home),
    )
    for part in parts:
        try:
            found += list(part())
        except _UNREADABLE as error:  # of what a reader did not expect: the other parts are shown all the same
            bad["other"] += 1
            log.warning("a part of the metrics can't be read: %r", error)
    found += [Sample("nightshift_unreadable_files", count, (kind,)) for kind, count in sorted(bad.items())]
    return [*found, Sample("nightshift_collected_timestamp_seconds", now.timestamp())]


def _each(paths: Iterable[Path], read: Callable[[Path], T], kind: str, bad: Counter[str]) -> Iterator[T]:
    for path in paths:
        try:
            yield read(path)
        except FileNotFoundError:  # gone since it was listed
            continue
        except _UNREADABLE as error:
            bad[kind] += 1
            log.debug("%s can't be read: %s", path, error)


def _nights(home: Path, now: datetime, bad: Counter[str]) -> Iterable[Sample]:
    bills = list(_each(bill_files(home), _bill, "bill", bad))
    summaries = {}
    for id_ in last_ids(bills):
        for summary in _each([home / "nights" / short(id_, 16) / "summary.json"], _summary, "summary", bad):
            summaries[id_] = summary
    return night_samples(bills, summaries, now)


def _bill(path: Path) -> KeptBill:
    found = path.stat()
    return _bill_as_of(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=20_000)
def _bill_as_of(path: Path, _changed: int, _size: int) -> KeptBill:
    """A year of nights is read once, not at every look."""
    return check_times(read_bill(path))


def _summary(path: Path) -> Mapping[str, Any]:
    summary = json.loads(path.read_bytes())
    data = summary.get("data")
    if data is not None and not all(isinstance(data[name], int) for name in ("train", "held_out", "quarantined")):
        raise ValueError(f"the counts of rows in {path} are none")
    return summary


def _serving(home: Path, bad: Counter[str]) -> Iterable[Sample]:
    folder, end = home / "serving", ".hold.json"
    manifests = (path for path in folder.glob("[!.]*.json") if not path.name.endswith((end, ".deployed.json")))
    held = [path.name.removesuffix(end) for path in sorted(folder.glob(f"[!.]*{end}"))]
    bad["hold"] += sum(1 for name in held if not _whole_hold(home, name))
    return serving_samples(_each(sorted(manifests), _manifest, "manifest", bad), held)


def _manifest(path: Path) -> Manifest:
    found = read_manifest(path.parent.parent, path.stem)
    if found is None:
        raise FileNotFoundError(path)
    if found.name != path.stem:
        raise ValueError(f"{path} is the manifest of {found.name}")
    datetime.fromisoformat(found.at)
    return found


def _whole_hold(home: Path, name: str) -> bool:
    """Whether a hold can be read; it holds either way."""
    try:
        read_hold(home, name)
    except _UNREADABLE:
        return False
    return True


def _audits(home: Path, bad: Counter[str]) -> Iterable[Sample]:
    incidents, damaged = read_incidents(home)
    bad["incident"] += len(damaged)
    try:
        audited = read_audited(home)
    except RegistryError:
        audited = None
        bad["audit"] += 1
    return audit_samples(audited, incidents)


def _journal(home: Path, bad: Counter[str]) -> Expected:
    path = journal_path(home)
    try:
        found = path.stat()
        expected, whole = _journal_as_of(path, found.st_mtime_ns, found.st_size)
    except FileNotFoundError:  # the registry is elsewhere, or there is none yet
        return Expected()
    except _UNREADABLE:
        expected, whole = Expected(), False
    bad["journal"] += not whole
    return expected


@functools.lru_cache(maxsize=2)
def _journal_as_of(path: Path, _changed: int, _size: int) -> tuple[Expected, bool]:
    """It grows with every change of the registry: folded once a change, not at every look."""
    entries, wrong = problems(path)
    return expected_state(entries), all(one.endswith(TORN) for one in wrong)


# --- readiness ---


class Looks:
    """When the promotion service last looked into the registry without an error."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: float | None = None

    def done(self) -> None:
        self._at = self._clock()

    def part(self, every: float) -> Part:
        limit = max(_STUCK_SECONDS, 12 * every)
        if self._at is not None and self._clock() - self._at <= limit:
            return Part(name="promotions", ready=True)
        since = "since it started" if self._at is None else f"for {self._clock() - self._at:.0f} s"
        return Part(
            name="promotions",
            ready=False,
            what=f"the promotion service has not looked into the registry {since}",
            do="read HOME/logs/promoter.log: its last error says why",
        )


def readiness(settings: Settings, looks: Looks | None = None) -> list[Part]:
    """What the next night and the next promotion need, part by part."""
    found = [_disk(settings.home), _server("mlflow", tracking_uri(settings), "/health"), _prices(settings)]
    api = prefect_api_url(settings)
    if api is None:
        what = "no Prefect server runs: nights start by `nightshift run` only"
        found.append(Part(name="prefect", ready=False, what=what, do="start it: `nightshift up`"))
    else:
        found.append(_server("prefect", api, "/health"))
    return found if looks is None else [*found, looks.part(settings.reconcile_seconds)]


def _disk(home: Path) -> Part:
    do = "free space there (`nightshift clean`), fix its permissions, or set NIGHTSHIFT_HOME to another disk"
    try:
        found = os.statvfs(home)
    except OSError as error:
        return Part(name="state", ready=False, what=f"{home}: {error.strerror or error}", do=do)
    free = found.f_bavail * found.f_frsize
    if not os.access(home, os.W_OK):
        return Part(name="state", ready=False, what=f"{home} can't be written", do=do)
    if not free >= _LEAST_FREE:
        return Part(name="state", ready=False, what=f"{home} has {free / 1e9:.1f} GB left", do=do)
    return Part(name="state", ready=True)


def _server(name: str, url: str, path: str) -> Part:
    if not url.startswith("http") or answers(f"{url.rstrip('/')}{path}"):
        return Part(name=name, ready=True)  # a file is opened by whoever needs it
    return Part(name=name, ready=False, what=f"{name} doesn't answer", do=f"start it, or read HOME/logs/{name}.log")


def _prices(settings: Settings) -> Part:
    try:
        load_price_book(settings.price_book)
    except NightshiftError as error:
        return Part(name="prices", ready=False, what=error.what, do=error.do)
    return Part(name="prices", ready=True)


# --- at a terminal ---


def print_once() -> int:
    print(metrics_text(load_settings().home).decode(), end="")
    return 0


def serve_here(port: int) -> int:
    """Serve until Ctrl-C, on NIGHTSHIFT_HOST.

    Raises:
        BadSetting: that address is open to other machines, and nobody allowed it. NightshiftError: the port is in use.
    """
    settings = load_settings()
    refuse_exposure(settings.host, tls=False, allowed=settings.insecure_host)
    if (reason := why_unusable(settings.host, port)) is not None:
        raise NightshiftError(
            f"port {port} on {settings.host} can't be used: {reason}", do="choose another with --port, or stop its user"
        )
    serve(app_of(settings), settings.host, port)
    print(f"http://{settings.host}:{port}/metrics, /healthz, /readyz. Ctrl-C ends it.")
    threading.Event().wait()
    return 0


def app_of(settings: Settings) -> Starlette:
    return Starlette(routes=pages(settings))


def pages(settings: Settings, looks: Looks | None = None) -> Sequence[Any]:
    """The three routes, for whichever process serves them."""
    return routes(lambda: metrics_text(settings.home), lambda: readiness(settings, looks))
