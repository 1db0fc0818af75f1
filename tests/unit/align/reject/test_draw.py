"""Drawing round by round: the budget, what is kept and told, and a start after a kill, with answers made up here."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from infra.events import parse
from tasks.align.reject.draw import ROUND, Drawn, draw_rows, rewarded, write_drawn
from tasks.align.reject.kept import FILE, add_round, read_rounds
from tasks.align.trainer import Interrupted
from tasks.align.watch import Unhealthy
from tasks.errors import ModelError, RewardError
from tasks.phases import Phase

CONTEXT = digest_of("this course")
GROUP = 32
SIZE = ROUND // GROUP  # prompts a round


class World:
    """Answers "0" to "31" to each prompt, counted; an answer earns its number where the prompt has signal."""

    def __init__(self, tmp_path: Path, signal: Any = lambda id_: True, **phase: Any) -> None:
        given = {"method": "reject", "reward": "not_refused", "group_size": GROUP, "max_steps": 9, "batch_size": 2}
        self.phase = Phase.model_validate(given | phase)
        self.signal, self.where = signal, (tmp_path / FILE, CONTEXT)
        self.rounds: list[int] = []
        self.ended = True

    def draw(self, number: int, rows: Any) -> list[list[tuple[str, int, bool]]]:
        self.rounds.append(number)
        return [[(f"{row['id']} {n}", 2, self.ended) for n in range(GROUP)] for row in rows]

    def score(self, completions: Any, **_: Any) -> list[float]:
        said = [completion[0]["content"].split() for completion in completions]
        return [float(number) if self.signal(int(id_)) else 0.0 for id_, number in said]

    def run(self, prompts: int, target: int, asked: Any = lambda: False) -> Drawn:
        rows = [{"id": str(n), "prompt": [{"role": "user", "content": str(n)}], "truth": None} for n in range(prompts)]
        rewards = [("not_refused", self.score)]
        return draw_rows(rows, target, self.phase, self.draw, rewards, self.where, asked)


def test_drawing_stops_when_enough_rows_are_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    found = world.run(prompts=40, target=2 * SIZE)
    assert world.rounds == [0, 1]
    assert [row["id"] for row in found.rows] == [str(n) for n in range(2 * SIZE)]
    assert found.rows[3]["chosen"][0]["content"] == "3 31"
    assert found.told["drawn_answers"] == 2 * SIZE * GROUP
    assert found.told["drawn_tokens"] == 2 * 2 * SIZE * GROUP


def test_no_more_is_drawn_than_there_are_prompts_and_what_is_found_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path, signal=lambda id_: id_ % 3 == 0)
    found = world.run(prompts=10, target=100)
    assert len(found.rows) == 4
    assert found.told == {
        "drawn_prompts": 10, "drawn_answers": 10 * GROUP, "drawn_tokens": 20 * GROUP, "drawn_rows": 4,
        "drawn_no_signal": 6, "drawn_unfinished": 0, "drawn_near_equal": 0,
        "drawn_reward": pytest.approx(0.4 * 15.5), "drawn_best_reward": pytest.approx(0.4 * 31),
    }  # fmt: skip
    events = [found for line in capsys.readouterr().out.splitlines() if (found := parse(line))]
    assert [(event["done"], event["total"]) for event in events] == [(4, 10), (8, 10), (10, 10)]
    assert (
        "4 of 100 rows found, 6 without signal, 0 whose better answers don't end; mean reward 6.2"
        in (events[-1]["what"])
    )


def test_all_that_was_drawn_is_written_with_its_rewards_and_why(tmp_path: Path) -> None:
    world = World(tmp_path, signal=lambda id_: id_ != 1, train_as="dpo")
    found = world.run(prompts=4, target=99)
    write_drawn(found, tmp_path / "out" / "drawn.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out" / "drawn.jsonl").read_text().splitlines()]
    assert [(line["id"], line["why"]) for line in lines] == [
        ("0", "kept"), ("1", "no signal"), ("2", "kept"), ("3", "kept"),
    ]  # fmt: skip
    marks = [answer["kept"] for answer in lines[0]["answers"]]
    assert (marks[0], marks[31], set(marks[1:31])) == ("rejected", "chosen", {None})
    assert lines[2]["answers"][7]["rewards"] == {"not_refused": 7.0}
    assert {answer["kept"] for answer in lines[1]["answers"]} == {None}


def test_rounds_that_were_drawn_are_not_drawn_again(tmp_path: Path) -> None:
    questions = iter([False, False, True])
    world = World(tmp_path)
    with pytest.raises(Interrupted, match=f"the answers to {2 * SIZE} of 40 prompts are kept"):
        world.run(40, 4 * SIZE, lambda: next(questions))
    again = World(tmp_path)
    found = again.run(40, 4 * SIZE)
    assert (world.rounds, again.rounds) == ([0, 1], [2, 3])
    (tmp_path / "elsewhere").mkdir()
    assert found == World(tmp_path / "elsewhere").run(40, 4 * SIZE)
    # whole, nothing is drawn at all
    third = World(tmp_path)
    assert third.run(40, 4 * SIZE) == found
    assert third.rounds == []


def test_a_round_that_was_cut_short_while_it_was_written_is_drawn_again(tmp_path: Path) -> None:
    true = World(tmp_path).run(40, 3 * SIZE)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-9])
    again = World(tmp_path)
    assert again.run(40, 3 * SIZE) == true
    assert again.rounds == [2]
    assert len(read_rounds(*again.where)) == 3


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_file_that_was_killed_in_its_first_line_is_begun_anew(cut: int, tmp_path: Path) -> None:
    true = World(tmp_path).run(8, 99)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:cut])
    assert World(tmp_path).run(8, 99) == true


def test_answers_of_another_course_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(8, 99)
    with pytest.raises(ModelError, match=f"are of another training \\(context {CONTEXT}") as refused:
        read_rounds(tmp_path / FILE, digest_of("another course"))
    assert "--fresh" in refused.value.do
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(lines[0] + lines[1][:40] + b"\n" + lines[2])
    with pytest.raises(ModelError, match="are damaged") as refused:
        world.run(8, 99)
    assert "--fresh" in refused.value.do


def test_a_disk_that_cant_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="can't write") as refused:
        add_round(tmp_path / "nowhere" / FILE, CONTEXT, [])
    assert "NIGHTSHIFT_HOME" in refused.value.do


# ---- nothing to train on ---------------------------------------------------------------------------------------------


def test_no_signal_for_many_rounds_in_a_row_ends_it(tmp_path: Path) -> None:
    world = World(tmp_path, signal=lambda id_: id_ < SIZE, health={"no_signal_window": 3})
    with pytest.raises(Unhealthy) as stopped:
        world.run(20 * SIZE, 100)
    assert world.rounds == [0, 1, 2, 3]
    assert stopped.value.stop.name == "no_signal"
    assert "in the last 3 rounds (limit 3) no answers can be trained on" in stopped.value.stop.what
    assert "phase.temperature" in stopped.value.stop.do


def test_rounds_without_signal_count_only_in_a_row(tmp_path: Path) -> None:
    every_other = World(tmp_path, signal=lambda id_: id_ // SIZE % 2 == 0, health={"no_signal_window": 2})
    assert len(every_other.run(8 * SIZE, 100).rows) == 4 * SIZE


def test_no_signal_at_all_is_unhealthy_with_its_numbers(tmp_path: Path) -> None:
    with pytest.raises(Unhealthy) as stopped:
        World(tmp_path, signal=lambda id_: False).run(9, 100)
    assert "of all 9 prompts" in stopped.value.stop.what
    assert "9 without signal, 0 whose better answers don't end; all earned 0 on average" in stopped.value.stop.what


def test_answers_that_are_all_cut_off_ask_for_more_tokens(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ended = False
    with pytest.raises(Unhealthy) as stopped:
        world.run(9, 100)
    assert "0 without signal, 9 whose better answers don't end" in stopped.value.stop.what
    assert "raise phase.max_new_tokens (64)" in stopped.value.stop.do


def test_fewer_rows_than_a_batch_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"1 rows are left of 9 prompts, fewer than one batch of 2.*8 without signal"):
        World(tmp_path, signal=lambda id_: id_ == 5).run(9, 100)


# ---- rewards ---------------------------------------------------------------------------------------------------------


def test_rewards_are_weighed_and_each_is_kept(tmp_path: Path) -> None:
    phase = Phase.model_validate(
        {
            "method": "reject", "reward": ["not_refused", "length_penalty"], "reward_weights": [2, -1],
            "group_size": 2, "max_steps": 1,
        }
    )  # fmt: skip
    prompts = [{"id": "p", "prompt": [{"role": "user", "content": "q"}], "truth": "3"}]
    seen: list[Any] = []

    def first(prompts: Any, completions: Any, truth: Any) -> list[float]:
        seen.append((prompts, completions, truth))
        return [1.0, 2.0]

    (answers,) = rewarded(
        prompts, [[("a", 1, True), ("b", 1, False)]], phase,
        [("not_refused", first), ("length_penalty", lambda **_: [0.5, 0.25])],
    )  # fmt: skip
    assert [answer.reward for answer in answers] == [1.5, 3.75]
    assert answers[1].rewards == {"not_refused": 2.0, "length_penalty": 0.25}
    assert (answers[0].ended, answers[1].ended) == (True, False)
    assert seen == [
        ([prompts[0]["prompt"]] * 2, [[{"role": "assistant", "content": word}] for word in "ab"], ["3"] * 2)
    ]


@pytest.mark.parametrize("odd", [[1.0], [1.0, float("nan")], [1.0, None]])
def test_a_reward_that_is_no_number_ends_it_and_the_rounds_before_are_kept(odd: Any, tmp_path: Path) -> None:
    world, true = World(tmp_path), World.score

    def score(completions: Any, **_: Any) -> Any:
        return odd + [0.0] * (len(completions) - 2) if len(world.rounds) == 2 else true(world, completions)

    world.score = score  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(RewardError, match="not_refused"):
        world.run(40, 100)
    assert len(read_rounds(*world.where)) == 1
