"""`nightshift clean`: what something refers to stays, the rest goes once it is old, wherever it is cut off."""

import contextlib
import itertools
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import NightLocked, PoolError, StoreError
from infra.inflight import jobs_in_flight
from infra.launch import Launch
from infra.lock import night_lock, no_night
from infra.mark import digests_in_file, reachable
from infra.outcome import Outcome, write_outcome
from infra.slurm.journal import Entry, Journal
from infra.store import Store
from tasks import retention
from tasks.registry.pinned import Pinned, pinned
from tasks.retained import DAY
from tasks.retention import Cleaned, clean, in_words
from tests.keeping import NOW, POLICY, Kept, Spec, age_file, some_nights

Folders = Callable[[], Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """An empty folder each time; removing them after each example would take longer than the test."""
    return lambda: tmp_path_factory.mktemp("home")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "home")


def pins(kept: Kept) -> Pinned:
    return pinned(kept.seen, kept.store, datetime.fromtimestamp(NOW - POLICY.snapshots * DAY, UTC))


def cleaned(kept: Kept, *, dry_run: bool = False) -> Cleaned:
    return clean(kept.home, kept.store, pins(kept), POLICY, NOW, dry_run=dry_run)


def made(home: Path, seed: int) -> Kept:
    rng = random.Random(seed)
    kept = Kept(home)
    for number, one in enumerate(some_nights(rng)):
        kept.night(number, one)
    kept.junk(rng.randint(0, 3), rng.choice([0.5, 2.0, 300.0]))
    kept.settle()
    return kept


class Killed(BaseException):
    """The process is gone."""


def killed_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next cleaning dies before its ``count``-th removal of a file or folder."""
    left = itertools.count(count, -1)
    for name in ("unlink", "rename", "rmdir"):
        real = getattr(os, name)

        def dying(*args: object, real: object = real, **kwargs: object) -> object:
            if next(left) <= 0:
                raise Killed
            return real(*args, **kwargs)  # pyright: ignore[reportCallIssue]

        monkeypatch.setattr(os, name, dying)


def dangling(kept: Kept) -> list[str]:
    """Results and scorecards that name an object which was there and is gone."""
    every = kept.needed | kept.doomed
    paths = (kept.home / "prefect" / "storage").glob("*")
    return [path.name for path in paths if (digests_in_file(path) & every) - kept.there()]


def holds_what_it_promises(home: Path, seed: int) -> None:
    kept = made(home, seed)
    before = kept.files()
    told = cleaned(kept, dry_run=True)
    assert kept.files() == before, "a dry run changed something"
    did = cleaned(kept)
    assert did.freed == told.freed
    assert did.kept == told.kept
    assert kept.needed <= kept.there()
    assert not (kept.doomed - kept.needed) & kept.there()
    assert dangling(kept) == []
    assert sum(one.files for one in did.freed) == len(before) - len(kept.files())
    assert cleaned(kept).freed == ()


def survives_a_kill(home: Path, seed: int, after: int) -> None:
    whole, kept = made(home / "whole", seed), made(home / "cut", seed)
    cleaned(whole)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
        killed_after(after, patch)
        cleaned(kept)
    assert kept.needed <= kept.there()
    assert dangling(kept) == []
    assert all((one / "name").is_file() for one in (kept.home / "nights").iterdir()), "half a night"
    cleaned(kept)
    assert kept.files() == whole.files()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_what_is_needed_stays_what_is_not_goes_and_a_second_time_frees_nothing(folders: Folders, seed: int) -> None:
    holds_what_it_promises(folders(), seed)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), after=st.integers(0, 40))
def test_killed_anywhere_nothing_needed_is_gone_and_the_next_time_ends_it(
    folders: Folders, seed: int, after: int
) -> None:
    survives_a_kill(folders(), seed, after)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), after=st.integers(0, 80))
def test_both_hold_for_many_histories(folders: Folders, seed: int, after: int) -> None:
    holds_what_it_promises(folders(), seed)
    survives_a_kill(folders(), seed, after)


def test_a_nights_folder_is_whole_or_gone_wherever_its_removal_is_cut_off(folders: Folders) -> None:
    found = set()
    for after in range(9):
        kept = Kept(folders())
        kept.night(1, Spec(age=500, used=1, registered=False))
        kept.settle()
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            killed_after(after, patch)
            cleaned(kept)
        (folder,) = list((kept.home / "nights").iterdir()) or [None]
        found.add(None if folder is None else len(list(folder.iterdir())))
        cleaned(kept)
        assert not (kept.home / "trash").exists() or not list((kept.home / "trash").iterdir())
    assert found == {None, 4}


def test_the_rows_behind_an_old_version_that_serves_no_more_go_and_the_rest_of_its_evidence_stays(kept: Kept) -> None:
    kept.night(1, Spec(age=120, used=120, registered=True))
    kept.settle()
    (rows,) = (one for one in kept.doomed if kept.store.path(one).read_bytes().startswith(b"PAR1"))
    did = cleaned(kept)
    assert [(one.kind, one.files) for one in did.freed if one.kind in {"snapshots", "objects"}] == [("snapshots", 1)]
    assert not kept.store.has(rows)
    assert kept.needed <= kept.there()


@pytest.mark.parametrize(
    "spec",
    [
        Spec(age=500, used=500, registered=True, alias="champion"),
        Spec(age=500, used=500, registered=True, alias="previous"),
        Spec(age=500, used=500, registered=True, alias="anchor"),
        Spec(age=500, used=500, registered=True, approval="requested"),
        Spec(age=500, used=500, registered=True, approval="approved"),
    ],
)
def test_of_a_version_that_serves_or_awaits_approval_everything_stays(kept: Kept, spec: Spec) -> None:
    kept.night(1, spec)
    kept.settle()
    before = kept.there()
    cleaned(kept)
    assert kept.there() == before
    assert len(list((kept.home / "nights").iterdir())) == 1


def test_a_night_that_never_ended_or_was_begun_again_since_keeps_its_folder(kept: Kept) -> None:
    kept.night(1, Spec(age=500, used=500, registered=False, ended=False))
    kept.night(2, Spec(age=500, used=500, registered=False))
    kept.night(3, Spec(age=500, used=500, registered=False))
    kept.settle()
    _, second, third = folders = sorted(
        (kept.home / "nights").iterdir(), key=lambda one: (one / "summary.json").exists()
    )
    age_file(third / "attempts.jsonl", 499)  # killed after its summary was written
    cleaned(kept)
    assert set((kept.home / "nights").iterdir()) == set(folders) - {second}


def test_a_bill_and_every_ledger_and_hold_stay_and_keep_what_they_name(kept: Kept) -> None:
    items = kept.put(b"a list of items that only a ledger names", 900)
    records = ["ledger/shop.jsonl", "bills/2020-01/one.json", "serving/shop.hold.json", "incidents/a.json",
               "guard/registry.jsonl", "drills.jsonl", "serving/holds.jsonl", "receipts/a--b/receipt.json",
               "receipts/bills/2020-01/c.json"]  # fmt: skip
    for name in records:
        path = kept.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"items": "{items.digest_}"}}')
        age_file(path, 900)
    kept.settle()
    assert cleaned(kept).freed == ()
    for name in records:  # each of them is enough
        others = [kept.home / other for other in records if other != name]
        texts = {path: path.read_text() for path in others}
        for path in others:
            path.write_text("{}")
        assert cleaned(kept).freed == (), name
        for path, text in texts.items():
            path.write_text(text)
    for name in records:
        (kept.home / name).write_text("{}")
    assert [one.kind for one in cleaned(kept).freed] == ["objects"]


def test_checkpoints_that_a_night_may_go_on_from_and_those_of_a_job_in_flight_stay(kept: Kept) -> None:
    for name, age in (("young", 3.0), ("stale", 30.0), ("queued", 30.0)):
        folder = kept.home / "checkpoints" / name
        (folder / "checkpoint-5").mkdir(parents=True)
        (folder / "checkpoint-5" / "weights").write_bytes(b"w" * 5000)
        age_file(folder, age)
    work = kept.home / "work" / "align-1234"
    work.mkdir(parents=True)
    (work / "spec.json").write_text("{}")
    for path in (work / "spec.json", work):
        age_file(path, 30)
    launch = Launch(
        key="k", name="align", module="m", spec=str(work / "spec.json"), result="r", folder=str(work), seconds=1000,
        root="/", python="python", checkpoints=str(kept.home / "checkpoints" / "queued"),
    )  # fmt: skip
    Journal(kept.home / "slurm" / "gpus").write(Entry(flow_run="f", launch=launch, job="17"))
    did = cleaned(kept)
    assert sorted(path.name for path in (kept.home / "checkpoints").iterdir()) == ["queued", "young"]
    assert {one.why for one in did.kept if one.kind == "checkpoints"} == {
        "a night may go on from them",
        "of a job in flight",
    }
    assert work.is_dir()
    Journal(kept.home / "slurm" / "gpus").forget("f")
    cleaned(kept)
    assert not work.exists()


def test_laid_out_links_to_what_goes_go_too_and_wait_while_a_job_may_read_them(kept: Kept) -> None:
    tree = kept.tree("old", {"weights": b"x" * 9000})
    laid = kept.store.checkout(tree, kept.home / "work" / "models" / "old")
    kept.settle()
    note = kept.home / "work" / "align-9" / "allocations.json"
    note.parent.mkdir(parents=True)
    launch = Launch(key="k", name="a", module="m", spec="s", result="r", folder=str(note.parent), seconds=999,
                    root="/", python="p")  # fmt: skip
    (note.parent / "launch.json").write_text(launch.model_dump_json())
    note.write_text('{"key": "k", "allocations": [{"ended": null}]}')
    assert cleaned(kept).freed == ()
    # the worker's last look was before the end: its outcome says so
    write_outcome(note.parent, Outcome(key="k", job="1", kind="completed", what="done", do=""))
    assert jobs_in_flight(kept.home) == []
    (note.parent / "outcome.json").unlink()
    assert len(jobs_in_flight(kept.home)) == 1
    note.write_text('{"key": "k", "allocations": [{"ended": 5.0}]}')
    did = cleaned(kept)
    assert not laid.exists()
    assert [one.kind for one in did.freed] == ["laid-out models", "objects"]
    assert [one.size > 0 for one in did.freed] == [True, False]  # one file under two names


def test_a_note_of_a_job_that_cannot_be_read_stops_the_cleaning(kept: Kept) -> None:
    note = kept.home / "slurm" / "gpus" / "x.json"
    note.parent.mkdir(parents=True)
    note.write_text("{")
    kept.junk(2, 50)
    kept.settle()
    with pytest.raises(PoolError, match=r"x\.json of a job can't be read"):
        cleaned(kept)
    assert kept.doomed <= kept.there()


def test_a_record_that_cannot_be_read_stops_the_cleaning(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = kept.home / "ledger" / "shop.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("{}")
    kept.junk(2, 50)
    kept.settle()
    real = Path.open

    def refusing(path: Path, *args: object, **kwargs: object) -> object:
        if path == ledger:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)  # pyright: ignore[reportCallIssue, reportArgumentType]

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(StoreError, match=r"shop\.jsonl can't be read, so nobody knows what it refers to"):
        cleaned(kept)
    assert kept.doomed <= kept.there()


def test_an_object_that_is_put_again_while_the_cleaning_looks_stays(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.junk(1, 50)
    kept.settle()
    (digest,) = kept.doomed
    real = retention._staying

    def meanwhile(*args: object) -> object:  # everything is decided by then
        os.utime(kept.store.path(digest), (NOW, NOW))  # what `put_bytes` does with one that is there
        return real(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(retention, "_staying", meanwhile)
    assert cleaned(kept).freed != ()
    assert kept.store.has(digest)


def test_putting_an_object_again_makes_it_young(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path = store.path(store.put_bytes(b"x").digest_)
    (tmp_path / "x").write_bytes(b"x")
    for again in (lambda: store.put_bytes(b"x"), lambda: store.put_file(tmp_path / "x")):
        os.utime(path, (5, 5))
        again()
        assert path.stat().st_mtime > 1e9


def test_references_are_found_across_the_chunks_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    blobs = [store.put_bytes(str(number).encode()) for number in range(50)]
    root = store.put_json({"x": "y" * 101, "of": [one.digest_ for one in blobs]})
    monkeypatch.setattr("infra.mark._CHUNK", 97)
    assert reachable(store, [root.digest_]) == {root.digest_, *(one.digest_ for one in blobs)}


def test_a_night_that_begins_while_the_store_is_cleaned_waits_and_a_cleaning_waits_for_no_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    cleaning: Iterator[None] = _held(tmp_path)
    next(cleaning)

    def slept(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            next(cleaning, None)

    monkeypatch.setattr("infra.lock.time.sleep", slept)
    with night_lock(tmp_path, {"run": "tonight"}) as before:
        assert before is None
        assert len(looks) == 3
        with pytest.raises(NightLocked, match="a night is running already"), no_night(tmp_path):
            pass


def _held(home: Path) -> Iterator[None]:
    with no_night(home):
        yield


def test_a_cleaning_hands_on_what_a_killed_night_left_also_where_it_is_killed_itself(tmp_path: Path) -> None:
    left = '{"run": "killed-run", "pid": 4}'
    (tmp_path / "night.lock").write_text(left)
    with no_night(tmp_path):
        during = (tmp_path / "night.lock").read_text()
    assert (tmp_path / "night.lock").read_text() == left
    (tmp_path / "night.lock").write_text(during)  # as a SIGKILL leaves it
    with no_night(tmp_path):
        pass
    with night_lock(tmp_path, {"run": "next"}) as before:
        assert before == {"run": "killed-run", "pid": 4}


def test_the_words_say_what_went_and_why_the_rest_stays(kept: Kept) -> None:
    kept.night(1, Spec(age=120, used=120, registered=True))
    kept.night(2, Spec(age=0.1, used=0.1, registered=False))
    kept.settle()
    said = in_words(cleaned(kept, dry_run=True))
    assert said.startswith("Would free ")
    assert "raw rows of the sources" in said
    assert "something that stays needs them" in said
    assert "written or put again in the last day" in said
