"""The line before a model: threads in order, processes in turns, nobody for ever."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from infra.errors import ServerError
from infra.registry_guard import locks as module
from infra.registry_guard.locks import ModelLocks


def thread(work: Callable[[], object]) -> threading.Thread:
    found = threading.Thread(target=work, daemon=True)
    found.start()
    return found


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def users(locks: ModelLocks, model: str) -> int:
    line = locks._lines.get(model)
    return line.users if line else 0


def test_threads_of_one_process_get_a_model_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    locks, order = ModelLocks(tmp_path), []

    def work(number: int) -> None:
        with locks.hold("demo"):
            order.append(number)

    with locks.hold("demo"):
        threads = []
        for number in range(20):
            threads.append(thread(lambda number=number: work(number)))
            wait_until(lambda number=number: users(locks, "demo") == number + 2)
            # it is in the line for the front, or at the front and in the line for the work
            wait_until(lambda number=number: waiting(locks, "demo") == number + 1)
    for one in threads:
        one.join(20)
    assert order == list(range(20))


def waiting(locks: ModelLocks, model: str) -> int:
    line = locks._lines[model]
    return len(line.front._waiting) + len(line.work._waiting)


def test_one_change_of_a_model_at_a_time_and_other_models_go_on(tmp_path: Path) -> None:
    locks, inside, most = ModelLocks(tmp_path), [0], [0]

    def work() -> None:
        for _ in range(25):
            with locks.hold("demo"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0005)
                inside[0] -= 1

    threads = [thread(work) for _ in range(8)]
    with locks.hold("other"):
        for one in threads:
            one.join(60)
    assert most == [1]
    assert inside == [0]


def test_a_model_that_nobody_waits_for_is_forgotten(tmp_path: Path) -> None:
    locks = ModelLocks(tmp_path)
    for number in range(50):
        locks.hold(f"demo-{number}").close()
    with locks.hold("demo"):
        assert list(locks._lines) == ["demo"]
    assert locks._lines == {}


def test_who_waits_too_long_is_told_and_neither_the_line_nor_the_next_turn_stays_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, other = ModelLocks(tmp_path), ModelLocks(tmp_path)
    monkeypatch.setattr(module, "_SECONDS", 0.05)
    for holder in (locks, other):  # a thread of this process, and another process
        with holder.hold("demo"):
            for _ in range(3):
                with pytest.raises(ServerError, match="another change of demo has not ended") as caught:
                    locks.hold("demo")
                assert "send the request again" in str(caught.value)
        locks.hold("demo").close()
        other.hold("demo").close()
    with other.hold(""), pytest.raises(ServerError, match="another change of the server"):
        locks.hold("")
    assert locks._lines == {}


def test_one_who_gives_up_in_the_middle_of_the_line_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, got, refused = ModelLocks(tmp_path), [], []

    def work(name: str) -> None:
        try:
            with locks.hold("demo"):
                got.append(name)
        except ServerError:
            refused.append(name)

    with locks.hold("demo"):
        first = thread(lambda: work("first"))
        wait_until(lambda: users(locks, "demo") == 2 and waiting(locks, "demo") == 1)
        monkeypatch.setattr(module, "_SECONDS", 0.05)
        thread(lambda: work("second")).join(20)
        assert refused == ["second"]
        monkeypatch.undo()
        third = thread(lambda: work("third"))
        wait_until(lambda: waiting(locks, "demo") == 2)
    first.join(20)
    third.join(20)
    assert got == ["first", "third"]
    assert locks._lines == {}


def test_a_killed_process_leaves_neither_the_model_nor_its_ticket_taken(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    changes, stop = context.Value("i", 0, lock=False), context.Event()
    process = context.Process(target=never_stops, args=(tmp_path, changes, stop), daemon=True)
    process.start()
    wait_until(lambda: changes.value > 3, 60)
    process.kill()
    process.join(20)
    locks = ModelLocks(tmp_path)
    for _ in range(3):
        locks.hold("demo").close()
    # tickets are gone with their holders; at most the killed one's last two are left, of no use to anybody
    assert len(list(tmp_path.glob("*.[0-9]*"))) <= 2


def test_a_folder_that_is_gone_fails_and_leaves_the_model_free(tmp_path: Path) -> None:
    locks = ModelLocks(tmp_path / "locks")
    (tmp_path / "locks").rmdir()
    with pytest.raises(FileNotFoundError):
        locks.hold("demo")
    (tmp_path / "locks").mkdir()
    locks.hold("demo").close()


def never_stops(folder: Path, changes: Any, stop: Event) -> None:
    """Another server process with so many clients that its line is never empty."""
    locks = ModelLocks(folder)

    def work() -> None:
        while not stop.is_set():
            with locks.hold("demo"):
                changes.value += 1
                time.sleep(0.02)

    for one in [thread(work) for _ in range(4)]:
        one.join()


def test_a_process_that_never_stops_changing_a_model_takes_turns_with_another_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    changes, stop = context.Value("i", 0, lock=False), context.Event()
    process = context.Process(target=never_stops, args=(tmp_path, changes, stop), daemon=True)
    process.start()
    try:
        wait_until(lambda: changes.value > 3, 60)
        locks, before = ModelLocks(tmp_path), changes.value
        for _ in range(25):
            locks.hold("demo").close()
        theirs = changes.value - before
    finally:
        stop.set()
        process.join(20)
    assert process.exitcode == 0
    assert 23 <= theirs <= 27  # one each


def count_up(folder: Path, times: int) -> None:
    """A server process whose four threads each change the model so many times."""
    locks, counter = ModelLocks(folder), folder / "counter"

    def work() -> None:
        for _ in range(times):
            with locks.hold("demo"):
                counter.write_text(str(int(counter.read_text()) + 1))

    for one in [thread(work) for _ in range(4)]:
        one.join(60)


def test_several_processes_with_several_threads_lose_no_change(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_up, args=(tmp_path, 20), daemon=True) for _ in range(3)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
    assert [one.exitcode for one in processes] == [0, 0, 0]
    assert (tmp_path / "counter").read_text() == "240"
