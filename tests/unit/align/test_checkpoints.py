"""Checkpoints: what a kill, a full disk or an edit leaves behind is never resumed from, and what is whole is found."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.digest import digest_bytes, digest_file
from infra.settings import ROOT
from tasks.align import checkpoints
from tasks.align.checkpoints import SWEPT_AFTER_DAYS, Found, clear, newest, prune, seal, sweep
from tasks.errors import ModelError

CONTEXT = digest_bytes(b"recipe, data, code, versions")
OTHER = digest_bytes(b"another recipe")

SAVED = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "rng_state_0.pth",
    "scheduler.pt",
    "state/shard-0.bin",
    "trainer_state.json",
    "training_args.bin",
)
SEALED = (*SAVED, "history.json")

NEVER_SEALED = "was never sealed, so the training was killed while saving it"


def saved(folder: Path, step: int) -> Path:
    """A checkpoint as the Trainer leaves it."""
    checkpoint = folder / f"checkpoint-{step}"
    for name in SAVED:
        file = checkpoint / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"{name} at {step} ".encode() * 20)
    return checkpoint


def metrics(step: int) -> list[dict[str, Any]]:
    return [{"step": n, "loss": 1 / n} for n in range(1, step + 1)]


def sealed(folder: Path, *steps: int, context: str = CONTEXT) -> Path:
    """Sealed checkpoints of these steps; the last one's folder."""
    checkpoint = folder
    for step in steps:
        checkpoint = saved(folder, step)
        seal(checkpoint, context, metrics(step))
    return checkpoint


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.iterdir())


def resumed(folder: Path) -> Found:
    found = newest(folder, CONTEXT)
    assert found is not None
    return found


def truncate(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with two whole checkpoints, of steps 10 and 20."""
    sealed(tmp_path, 10, 20)
    return tmp_path


# what wins


def test_without_a_folder_or_a_checkpoint_in_it_the_training_starts_anew(tmp_path: Path) -> None:
    assert newest(tmp_path / "nowhere", CONTEXT) is None
    for name in ("runs", "checkpoint-", "checkpoint-x", "checkpoint-1-old", "my-checkpoint-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-7").write_text("not a folder")
    assert newest(tmp_path, CONTEXT) is None


def test_the_newest_whole_one_wins_with_its_history(tmp_path: Path) -> None:
    checkpoint = sealed(tmp_path, 10, 20)
    assert newest(tmp_path, CONTEXT) == Found(path=str(checkpoint), step=20, history=tuple(metrics(20)), damaged=())


def test_the_order_is_by_number_and_not_by_name(tmp_path: Path) -> None:
    sealed(tmp_path, 10, 9, 100, 99)
    assert resumed(tmp_path).step == 100
    shutil.rmtree(tmp_path / "checkpoint-100")
    shutil.rmtree(tmp_path / "checkpoint-99")
    assert resumed(tmp_path).step == 10


def test_a_folder_with_a_name_the_trainer_does_not_give_is_no_checkpoint(tmp_path: Path) -> None:
    sealed(tmp_path, 10).rename(tmp_path / "checkpoint-010")
    assert newest(tmp_path, CONTEXT) is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_the_history_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, float]]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    seal(saved(folder, 5), CONTEXT, history)
    assert [{key: value.hex() for key, value in one.items()} for one in resumed(folder).history] == [
        {key: value.hex() for key, value in one.items()} for one in history
    ]


def test_a_seal_names_every_file_with_its_digest(tmp_path: Path) -> None:
    checkpoint = sealed(tmp_path, 10)
    content = json.loads((checkpoint / "sealed.json").read_text())
    assert content == {
        "step": 10,
        "context": CONTEXT,
        "files": {name: digest_file(checkpoint / name) for name in SEALED},
    }


def test_a_checkpoint_saved_and_sealed_again_is_whole_and_the_old_seal_gone(tmp_path: Path) -> None:
    sealed(tmp_path, 10)
    checkpoint = saved(tmp_path, 10)
    (checkpoint / "optimizer.pt").write_bytes(b"another attempt")
    (checkpoint / "sealed.json.writing").write_bytes(b"left by a kill")
    seal(checkpoint, OTHER, metrics(10))
    assert newest(tmp_path, OTHER) is not None
    assert not (checkpoint / "sealed.json.writing").exists()


def test_a_folder_of_another_name_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    with pytest.raises(ModelError, match="is not named checkpoint-<step>"):
        seal(tmp_path / "adapter", CONTEXT, [])


# what is passed over


def change(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: truncate(file, 0),
    "cut to a byte": lambda file: truncate(file, 1),
    "cut in half": lambda file: truncate(file, file.stat().st_size // 2),
    "a byte short": lambda file: truncate(file, file.stat().st_size - 1),
    "a bit flipped": change,
    "a byte longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_any_file_that_is_not_as_sealed_is_named_and_the_one_before_is_resumed(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    damage(sealed(tmp_path, 10, 20) / name)
    found = resumed(tmp_path)
    assert found.step == 10
    assert list(found.history) == metrics(10)
    assert found.damaged == (f"checkpoint-20: {name} is truncated or changed",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_file_truncated_anywhere_is_noticed(two: Path, data: st.DataObject) -> None:
    file = two / "checkpoint-20" / data.draw(st.sampled_from([*SEALED, "sealed.json"]))
    whole = file.read_bytes()
    truncate(file, data.draw(st.integers(0, len(whole) - 1)))
    assert resumed(two).step == 10
    file.write_bytes(whole)
    assert resumed(two).step == 20


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (sealed(tmp_path, 10, 20) / "scheduler.pt").unlink()
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, ("checkpoint-20: scheduler.pt is missing",))


@pytest.mark.parametrize("name", ["notes.txt", "state/notes.txt", "sealed.json.writing", ".hidden"])
def test_a_file_that_was_not_there_when_it_was_sealed_is_named(tmp_path: Path, name: str) -> None:
    (sealed(tmp_path, 10, 20) / name).write_text("")
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, (f"checkpoint-20: {name} was added after it was sealed",))


def test_a_dangling_link_is_an_added_file_too(tmp_path: Path) -> None:
    (sealed(tmp_path, 10, 20) / "link").symlink_to("nowhere")
    assert resumed(tmp_path).damaged == ("checkpoint-20: link was added after it was sealed",)


def test_a_file_that_can_not_be_read_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = sealed(tmp_path, 10, 20)

    def broken(path: Path) -> str:
        if path == checkpoint / "optimizer.pt":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return digest_file(path)

    monkeypatch.setattr(checkpoints, "digest_file", broken)
    assert resumed(tmp_path).damaged == ("checkpoint-20: optimizer.pt can't be read: Input/output error",)


def valid(**changed: Any) -> bytes:
    return json.dumps({"step": 20, "context": CONTEXT, "files": {}} | changed).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        valid()[:-1],
        valid(step="20"),
        valid(step=20.5),
        valid(step=None),
        valid(context="sha256:short"),
        valid(files=["optimizer.pt"]),
        valid(files={"optimizer.pt": None}),
        valid(more=1),
        json.dumps({"step": 20, "context": CONTEXT}).encode(),
        json.dumps({"step": 20, "files": {}}).encode(),
        json.dumps({"context": CONTEXT, "files": {}}).encode(),
    ],
    ids=repr,
)
def test_a_seal_that_is_none_is_damage_and_no_crash(tmp_path: Path, content: bytes) -> None:
    (sealed(tmp_path, 10, 20) / "sealed.json").write_bytes(content)
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, ("checkpoint-20: sealed.json is truncated or changed",))


def test_a_seal_that_is_a_folder_is_damage_and_no_crash(tmp_path: Path) -> None:
    checkpoint = sealed(tmp_path, 10, 20)
    (checkpoint / "sealed.json").unlink()
    (checkpoint / "sealed.json").mkdir()
    assert resumed(tmp_path).damaged == ("checkpoint-20: sealed.json can't be read: Is a directory",)


def test_a_seal_over_no_files_makes_nothing_whole(tmp_path: Path) -> None:
    sealed(tmp_path, 10)
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-20" / "sealed.json").write_bytes(valid())
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, ("checkpoint-20: history.json can't be read",))


@pytest.mark.parametrize("history", ["{}", "[1]", "null"])
def test_a_history_that_is_no_list_of_metrics_is_damage(tmp_path: Path, history: str) -> None:
    checkpoint = sealed(tmp_path, 10, 20)
    (checkpoint / "history.json").write_text(history)
    content = json.loads((checkpoint / "sealed.json").read_text())
    content["files"]["history.json"] = digest_file(checkpoint / "history.json")
    (checkpoint / "sealed.json").write_text(json.dumps(content))
    assert resumed(tmp_path).damaged == ("checkpoint-20: history.json is no list of metrics",)


def test_a_checkpoint_renamed_to_another_step_is_damaged(tmp_path: Path) -> None:
    sealed(tmp_path, 10, 20).rename(tmp_path / "checkpoint-30")
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, ("checkpoint-30: sealed.json is that of step 20",))


def test_every_newer_one_passed_over_is_named_and_no_older_one(tmp_path: Path) -> None:
    sealed(tmp_path, 5, 10, 20)
    for step in (5, 20):
        (tmp_path / f"checkpoint-{step}" / "optimizer.pt").unlink()
    saved(tmp_path, 30)
    found = resumed(tmp_path)
    assert found.step == 10
    assert found.damaged == (f"checkpoint-30: {NEVER_SEALED}", "checkpoint-20: optimizer.pt is missing")


# killed while saving


def test_one_without_a_seal_is_passed_over_and_named(tmp_path: Path) -> None:
    sealed(tmp_path, 10)
    saved(tmp_path, 20)
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, (f"checkpoint-20: {NEVER_SEALED}",))


def test_killed_during_the_very_first_save_it_starts_anew(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    (tmp_path / "checkpoint-20").mkdir()
    assert newest(tmp_path, CONTEXT) is None


KILLED_AT = """
import os, sys
from pathlib import Path
from tasks.align.checkpoints import seal

left = [int(sys.argv[2])]

def counted(real):
    def call(*arguments, **options):
        if not left[0]:
            os._exit(9)  # nothing is cleaned up, as with a kill
        left[0] -= 1
        return real(*arguments, **options)
    return call

for name in ("fsync", "replace", "rename"):
    setattr(os, name, counted(getattr(os, name)))
Path.write_bytes = counted(Path.write_bytes)
Path.write_text = counted(Path.write_text)
seal(Path(sys.argv[1]), sys.argv[3], [{"step": 20}])
"""


def test_killed_at_any_point_of_the_sealing_the_checkpoint_is_whole_or_passed_over(tmp_path: Path) -> None:
    sealed(tmp_path, 10)
    resumed_at = []
    # writes: history, seal; syncs: each file, the inner folder, the seal, the checkpoint, its parent; one rename
    calls = 2 + len(SEALED) + 1 + 3 + 1
    for point in (0, 1, calls // 2, *range(calls - 4, calls + 1)):
        shutil.rmtree(tmp_path / "checkpoint-20", ignore_errors=True)
        checkpoint = saved(tmp_path, 20)
        command = [sys.executable, "-c", KILLED_AT, str(checkpoint), str(point), CONTEXT]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        assert code == (9 if point < calls else 0)
        found = resumed(tmp_path)
        assert (found.damaged == ()) == (found.step == 20)
        resumed_at.append(found.step)
    assert resumed_at == [10, 10, 10, 10, 10, 20, 20, 20]  # from the rename on, it is sealed


# another context, and nothing whole


def test_a_whole_checkpoint_of_another_context_is_refused(tmp_path: Path) -> None:
    checkpoint = sealed(tmp_path, 10, context=OTHER)
    with pytest.raises(ModelError) as refused:
        newest(tmp_path, CONTEXT)
    assert str(checkpoint) in refused.value.what
    assert "the recipe, the data, the code or a library's version changed" in refused.value.what
    assert "can't be told from the digests" in refused.value.what
    assert OTHER in refused.value.what
    assert CONTEXT in refused.value.what
    assert "--fresh" in refused.value.do
    assert f"delete {tmp_path}" in refused.value.do


def test_another_context_is_refused_behind_a_damaged_one_and_before_an_older_one_of_this(tmp_path: Path) -> None:
    sealed(tmp_path, 10)
    sealed(tmp_path, 20, context=OTHER)
    (sealed(tmp_path, 30) / "optimizer.pt").unlink()
    with pytest.raises(ModelError, match="checkpoint-20 is of another training"):
        newest(tmp_path, CONTEXT)


def test_when_none_of_those_once_sealed_is_whole_each_is_named_with_its_problem(tmp_path: Path) -> None:
    sealed(tmp_path, 9, 10)
    (tmp_path / "checkpoint-9" / "scheduler.pt").unlink()
    truncate(tmp_path / "checkpoint-10" / "sealed.json", 7)
    saved(tmp_path, 20)
    with pytest.raises(ModelError) as none:
        newest(tmp_path, CONTEXT)
    assert none.value.what == (
        f"no checkpoint under {tmp_path} is whole: checkpoint-20: {NEVER_SEALED}; "
        "checkpoint-10: sealed.json is truncated or changed; checkpoint-9: scheduler.pt is missing"
    )
    assert "--fresh" in none.value.do


def test_a_torn_seal_alone_is_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    truncate(sealed(tmp_path, 10) / "sealed.json", 0)
    with pytest.raises(ModelError, match=r"checkpoint-10: sealed\.json is truncated or changed"):
        newest(tmp_path, CONTEXT)


def test_a_folder_that_can_not_be_listed_is_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"can't be listed: Not a directory"):
        newest(tmp_path / "file", CONTEXT)


# the disk


def fails(number: int, after: int = 0) -> Callable[..., Any]:
    left = [after]

    def call(*_: object, **__: object) -> None:
        if not left[0]:
            raise OSError(number, os.strerror(number))
        left[0] -= 1

    return call


FULL: dict[str, Callable[[pytest.MonkeyPatch, int], None]] = {
    "writing the history": lambda patch, number: patch.setattr(Path, "write_text", fails(number)),
    "syncing a file": lambda patch, number: patch.setattr(os, "fsync", fails(number, 3)),
    "writing the seal": lambda patch, number: patch.setattr(Path, "write_bytes", fails(number)),
    "syncing the seal": lambda patch, number: patch.setattr(os, "fsync", fails(number, len(SEALED) + 1)),
    "renaming the seal": lambda patch, number: patch.setattr(os, "replace", fails(number)),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("fill", FULL.values(), ids=FULL.keys())
def test_a_full_disk_is_told_with_path_reason_and_next_action_and_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill: Callable[[pytest.MonkeyPatch, int], None], number: int
) -> None:
    sealed(tmp_path, 10)
    checkpoint = saved(tmp_path, 20)
    with monkeypatch.context() as patch:
        fill(patch, number)
        with pytest.raises(ModelError) as full:
            seal(checkpoint, CONTEXT, metrics(20))
    assert full.value.what == f"the checkpoint {checkpoint} can't be sealed: {os.strerror(number)}"
    assert "free space" in full.value.do
    assert "NIGHTSHIFT_HOME" in full.value.do
    assert "resumes from it" in full.value.do
    assert not list(checkpoint.glob("sealed.json*"))
    found = resumed(tmp_path)
    assert (found.step, found.damaged) == (10, (f"checkpoint-20: {NEVER_SEALED}",))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_is_really_full_is_told_too(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, 10)
    (checkpoint / "history.json").symlink_to("/dev/full")
    with pytest.raises(ModelError, match="No space left on device"):
        seal(checkpoint, CONTEXT, metrics(10))
    assert newest(tmp_path, CONTEXT) is None


def test_every_file_is_on_the_disk_before_the_seal_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    checkpoint = saved(tmp_path, 10)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    seal(checkpoint, CONTEXT, metrics(10))
    at = done.index("rename")
    before = [*(str(checkpoint / name) for name in SEALED), str(checkpoint / "state")]
    assert sorted(done[: at - 1]) == sorted(before)
    assert done[at - 1] == str(checkpoint / "sealed.json.writing")
    assert done[at + 1 :] == [str(checkpoint), str(tmp_path)]


# removing


@pytest.mark.parametrize(("keep", "left"), [(-1, [10]), (0, [10]), (1, [10]), (2, [9, 10]), (3, [2, 9, 10])])
def test_the_newest_are_kept_and_always_one(tmp_path: Path, keep: int, left: list[int]) -> None:
    sealed(tmp_path, 1, 2, 9, 10)
    prune(tmp_path, keep)
    assert steps(tmp_path) == left
    assert resumed(tmp_path).step == 10


def test_no_more_are_removed_than_there_are(tmp_path: Path) -> None:
    prune(tmp_path / "nowhere", 2)
    sealed(tmp_path, 10)
    prune(tmp_path, 2)
    assert steps(tmp_path) == [10]


def test_unsealed_ones_go_when_older_than_the_newest_sealed_one_and_stay_when_newer(tmp_path: Path) -> None:
    sealed(tmp_path, 5, 10)
    for step in (3, 9, 11):
        saved(tmp_path, step)
    (tmp_path / "runs").mkdir()
    prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("checkpoint-10", "checkpoint-11", "checkpoint-5"),
        "runs",
    ]


def test_unsealed_ones_alone_are_left_for_they_may_be_in_the_making(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    saved(tmp_path, 20)
    prune(tmp_path, 1)
    assert steps(tmp_path) == [10, 20]


def test_damaged_ones_do_not_count_so_that_a_whole_one_is_always_left(tmp_path: Path) -> None:
    sealed(tmp_path, 5, 10, 20, 30)
    for step in (20, 30):
        (tmp_path / f"checkpoint-{step}" / "optimizer.pt").unlink()
    prune(tmp_path, 1)
    assert steps(tmp_path) == [10, 20, 30]
    assert resumed(tmp_path).step == 10
    sealed(tmp_path, 20)  # the night that resumed from 10 has come this far
    prune(tmp_path, 1)
    assert steps(tmp_path) == [20, 30]
    assert resumed(tmp_path).step == 20


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.integers(0, 200), st.sampled_from(["whole", "damaged", "unsealed"]), max_size=6), st.data())
def test_pruning_never_changes_what_is_resumed(
    tmp_path_factory: pytest.TempPathFactory, kinds: dict[int, str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for step, kind in kinds.items():
        checkpoint = saved(folder, step) if kind == "unsealed" else sealed(folder, step)
        if kind == "damaged":
            truncate(checkpoint / "optimizer.pt", 5)
    whole = [step for step, kind in kinds.items() if kind == "whole"]
    prune(folder, data.draw(st.integers(0, 3)))
    if whole:
        assert resumed(folder).step == max(whole)
    elif "damaged" in kinds.values():
        with pytest.raises(ModelError, match="is whole"):
            newest(folder, CONTEXT)
    else:
        assert newest(folder, CONTEXT) is None


class Killed(BaseException):
    pass


def kill(*_: object, **__: object) -> None:
    raise Killed


def test_killed_while_removing_no_damaged_checkpoint_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(tmp_path, 10, 20)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(Killed):
            prune(tmp_path, 1)
        assert not (tmp_path / "checkpoint-10" / "sealed.json").exists()
        assert resumed(tmp_path).step == 20
        with pytest.raises(Killed):
            clear(tmp_path)
    assert newest(tmp_path, CONTEXT) is None


def test_clearing_removes_all_of_it_and_twice_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "trainer"
    sealed(folder, 10, 20)
    saved(folder, 30)
    (folder / "runs").mkdir()
    clear(folder)
    assert not folder.exists()
    clear(folder)
    assert newest(folder, CONTEXT) is None


def test_courses_that_no_night_went_on_with_for_a_week_are_swept_and_the_others_stay(tmp_path: Path) -> None:
    week = SWEPT_AFTER_DAYS * 86_400
    for name, age in {"tonight": 2 * week, "stale": week + 60, "fresh": week - 60}.items():
        sealed(tmp_path / name, 10)
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    assert sweep(tmp_path, but=tmp_path / "tonight") == [tmp_path / "stale"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "tonight"]
    assert sweep(tmp_path / "nothing there", but=tmp_path / "tonight") == []


def test_a_checkpoint_saved_today_keeps_an_old_course(tmp_path: Path) -> None:
    sealed(tmp_path / "old", 10)
    os.utime(tmp_path / "old", (0, 0))
    saved(tmp_path / "old", 20)
    assert sweep(tmp_path, but=tmp_path / "tonight") == []


@pytest.mark.parametrize("remove", [clear, lambda folder: prune(folder, 1)], ids=["clear", "prune"])
def test_what_can_not_be_removed_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove: Callable[[Path], None]
) -> None:
    sealed(tmp_path, 10, 20)
    monkeypatch.setattr(shutil, "rmtree", fails(errno.EACCES))
    with pytest.raises(ModelError, match=r"can't be removed: .*Permission denied") as told:
        remove(tmp_path)
    assert str(tmp_path) in told.value.what
    assert "by hand" in told.value.do
