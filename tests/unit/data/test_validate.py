"""validate: nothing is lost, a breach stops the night with its figure and bound, what can't be judged never passes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expectations.data import pairs
from infra.store import Store
from tasks.contracts import Preferences
from tasks.data import validate, workers
from tasks.data.judge_profile import Finding, judge_profile, stop_on_breach
from tasks.data_spec import DataSpec, SourceSpec
from tasks.errors import DataBreach, SourceError
from tests.conftest import write_pairs
from tests.data_place import preferences_of, snapshot_of

DATA = DataSpec(holdout=0.4, max_prompt_tokens=64, max_answer_tokens=64, min_new_pairs=10)


class Source:
    """A source file of good pairs, and lines a test adds to it."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self.file, self.tokenizer = folder / "pairs.jsonl", tokenizer
        self.store, self.folder = Store(folder / "store"), folder / "night"
        self.folder.mkdir()
        write_pairs(self.file, 60)

    def add(self, *lines: str | dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)

    def validate(self, data: DataSpec = DATA, gate: tuple[str, ...] = ()) -> Preferences:
        snapshot = snapshot_of((str(self.file),), self.folder, self.store)
        return preferences_of(snapshot, data, self.tokenizer, gate, self.folder, self.store)

    def lines(self, blob: Any) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.store.read_bytes(blob).splitlines()]


@pytest.fixture
def source(tmp_path: Path, tiny_model: Path) -> Source:
    return Source(tmp_path, tiny_model)


def pair(id_: str, prompt: str = "what is new", chosen: str = "please", rejected: str = "stop") -> dict[str, Any]:
    return {"id": id_, "prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_every_row_is_trained_on_held_out_or_in_quarantine_with_its_origin_and_reasons(source: Source) -> None:
    source.add("{broken", pair("same", chosen="please", rejected="please"), pair("mail", chosen="ask ann@mail.example"))
    found = source.validate()
    assert found.n_train + found.n_held_out == 60
    assert found.n_quarantined == 3
    dropped = source.lines(found.quarantine)
    assert [(row["source"], row["line"], row["reasons"]) for row in dropped] == [
        ("pairs.jsonl", 61, ["unreadable"]),
        ("pairs.jsonl", 62, ["equal_answers"]),
        ("pairs.jsonl", 63, ["template", "email"]),  # the tiny model's tokenizer can't spell an @
    ]
    assert dropped[0]["raw"] == "{broken"
    assert dropped[0]["error"].startswith("not JSON")
    trained = {row["id"] for row in source.lines(found.train)}
    held = {row["id"] for row in source.lines(found.house)}
    assert len(trained) == found.n_train
    assert len(held) == found.n_house == found.n_held_out
    assert source.lines(found.train)[0].keys() == {"id", "prompt", "chosen", "rejected"}
    assert (source.folder / "quarantine.jsonl").read_bytes() == source.store.read_bytes(found.quarantine)


def test_data_docs_are_rendered_and_show_the_figures(source: Source) -> None:
    found = source.validate()
    assert (source.folder / "data_docs" / "index.html").is_file()
    pages = [page.read_text() for page in (source.folder / "data_docs" / "validations").rglob("*.html")]
    assert len(pages) == 1
    assert "share_contradiction" in pages[0]
    assert found.data_docs.files


def test_a_critical_breach_stops_the_night_names_figure_and_bound_and_leaves_the_quarantine(source: Source) -> None:
    source.add(*(pair(f"c{n}", f"what about {word}", a, b) for n, (word, a, b) in enumerate(_contradictions(8))))
    with pytest.raises(DataBreach, match=r"share_contradiction is 0\.2105, expected <= 0\.1") as stopped:
        source.validate()
    assert "quarantine" in stopped.value.do
    assert len((source.folder / "quarantine.jsonl").read_text().splitlines()) == 16
    assert (source.folder / "data_docs" / "index.html").is_file()


def _contradictions(count: int) -> list[tuple[str, str, str]]:
    words = ["red", "green", "blue", "cat", "dog", "bird", "sun", "moon"][:count]
    return [(word, *answers) for word in words for answers in (("please", "stop"), ("stop", "please"))]


def test_no_usable_pair_at_all_is_a_breach_not_a_quiet_night(source: Source) -> None:
    source.file.write_text(json.dumps(pair("a", chosen="please", rejected="please")))
    with pytest.raises(DataBreach, match=r"passed is 0, expected >= 1"):
        source.validate(DATA.model_copy(update={"max_quarantined": 1.0}))


def test_few_pairs_are_no_breach_decide_says_whether_they_are_worth_a_night(source: Source) -> None:
    assert source.validate(DATA.model_copy(update={"min_new_pairs": 1000})).n_quarantined == 0


def test_training_on_the_gates_items_is_a_breach(source: Source) -> None:
    source.add(*(pair(f"g{n}", f"what is thing {n}") for n in range(5)))
    gate = tuple(f"What is thing {n}?" for n in range(5))
    with pytest.raises(DataBreach, match="share_gate_overlap"):
        source.validate(gate=gate)


def test_a_warning_goes_on_and_is_said(source: Source) -> None:
    source.add({**pair("late"), "timestamp": "2999-01-01T00:00:00Z"})
    found = source.validate()
    assert found.n_quarantined == 1
    assert any(warning.startswith("share_timestamp_in_future is 0.01639, expected") for warning in found.warnings)


def test_an_expectation_that_errors_stops_the_night(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Any] = pairs.pairs_suite

    def with_a_misspelled_figure(**bounds: Any) -> Any:
        import great_expectations.expectations as gxe

        suite = whole(**bounds)
        suite.add_expectation(gxe.ExpectColumnMaxToBeBetween(column="rowz", min_value=1))  # pyright: ignore
        return suite

    monkeypatch.setattr("tasks.data.judge_profile.pairs_suite", with_a_misspelled_figure)
    with pytest.raises(DataBreach, match=r"could not be computed: rowz"):
        source.validate()


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_figure_that_is_missing_or_no_number_stops_the_night(value: float | None, tmp_path: Path) -> None:
    with pytest.raises(DataBreach, match="no figure for share_email"):
        judge_profile({"rows": 5, "share_email": value}, max_quarantined=0.5, docs=tmp_path)


def test_a_failed_critical_finding_without_an_observed_value_is_a_breach_all_the_same() -> None:
    finding = Finding(
        figure="rows", severity="critical", success=False, observed=None, expected=">= 1", why="w", error=None
    )
    with pytest.raises(DataBreach, match="rows isn't >= 1"):
        stop_on_breach([finding])


def test_sources_without_a_row_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n\n")
    with pytest.raises(SourceError, match="hold no rows"):
        snapshot_of(("none.jsonl",), tmp_path, Store(tmp_path / "store"))


def test_the_same_bytes_make_the_same_snapshot(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a.jsonl", 20)
    one = snapshot_of(("a.jsonl",), tmp_path, Store(tmp_path / "one"))
    two = snapshot_of(("a.jsonl",), tmp_path, Store(tmp_path / "two"))
    assert one.digest == two.digest
    assert one.files[0].rows == one.n_rows == 20


WORDS = ["red", "green", "blue", "cat", "dog", "bird", "sun", "moon", "rain", "tea", "milk", "bread", "salt", "pan"]


def longer(id_: str, *changes: tuple[int, str]) -> dict[str, Any]:
    """A pair of many words; two with one or two words changed are near."""

    def text(first: str) -> str:
        words = [first, *WORDS * 2]
        for place, word in changes:
            words[place] = word
        return " ".join(words)

    return pair(id_, text("why"), text("please"), text("stop"))


def test_of_near_duplicates_the_older_stays_in_whichever_night_and_source_they_came(source: Source) -> None:
    other = source.folder / "other.jsonl"
    other.write_text(json.dumps(longer("old")) + "\n")
    specs = (str(source.file), str(other))

    def reasons() -> dict[str, list[str]]:
        snapshot = snapshot_of(specs, source.folder, source.store)
        found = preferences_of(snapshot, DATA, source.tokenizer, (), source.folder, source.store)
        return {row["id"]: row["reasons"] for row in source.lines(found.quarantine)}

    assert reasons() == {}
    source.add(longer("new", (9, "big")))  # of the first source, and so before the old one by its name
    for _ in range(2):  # found anew, then as it was kept
        assert reasons() == {"new": ["near_duplicate"]}
    other.write_text("")
    assert reasons() == {}  # who is near to nobody any more comes back


def test_of_two_sources_that_say_the_same_the_first_one_s_rows_stay(source: Source) -> None:
    """Their shards share one file of signatures: no row may be near to itself."""
    copy = source.folder / "z-copy.jsonl"
    copy.write_text(source.file.read_text().replace("pair-", "copy-"))
    snapshot = snapshot_of((str(source.file), str(copy)), source.folder, source.store)
    found = preferences_of(snapshot, DATA, source.tokenizer, (), source.folder, source.store)
    left = {(row["id"], *row["reasons"]) for row in source.lines(found.quarantine)}
    assert left == {(f"copy-{number}", "duplicate_pair") for number in range(60)}


def test_data_is_compared_with_the_night_before_and_a_night_that_stops_is_nobody_s_measure(source: Source) -> None:
    page = source.folder / "data.html"
    source.validate()
    assert "drift is measured from the first accepted snapshot" in page.read_text()
    kept = source.file.read_text()
    source.file.write_text(json.dumps(pair("a", chosen="please", rejected="please")))
    with pytest.raises(DataBreach):
        source.validate()
    source.file.write_text(kept)
    source.validate()  # the first night again: it still has nothing to be compared with
    assert "drift is measured from the first accepted snapshot" in page.read_text()
    source.add(*(pair(f"n{n}", f"{'where is my order please ' * 9}{word}") for n, word in enumerate(WORDS)))
    source.validate()
    assert "drift is measured from the first accepted snapshot" not in page.read_text()
    assert "population stability" in page.read_text() or "PSI" in page.read_text()


def test_what_is_like_a_held_out_prompt_leaves_and_stops_no_night(source: Source) -> None:
    long = "where is my order please when what how why return help want need buy"
    source.add(*(pair(f"t{n}", f"{long} {word}") for n, word in enumerate(WORDS)))
    found = source.validate()
    left = {row["id"]: row["reasons"] for row in source.lines(found.quarantine)}
    assert left
    assert set(map(tuple, left.values())) == {("house_overlap",)}
    held = {item["messages"][0]["content"] for item in source.lines(found.house)}
    asked = [f"{long} {word}" for word in WORDS]
    # whoever is not held out leaves, and no held-out row does
    assert {f"t{n}" for n, text in enumerate(asked) if text not in held} == set(left)


@pytest.mark.slow  # another process imports Great Expectations
@pytest.mark.parametrize("breach", [False, True])
def test_what_a_process_beside_finds_is_what_is_found_here(
    source: Source, breach: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if breach:
        source.add(*(pair(f"c{n}", f"what about {word}", a, b) for n, (word, a, b) in enumerate(_contradictions(8))))
    found = []
    for rows in (10**6, 1):
        monkeypatch.setattr("tasks.data.validate._HEAVY_ROWS", rows)
        shutil.rmtree(source.folder / "kept", ignore_errors=True)
        try:
            one = source.validate()
            found.append([one.train, one.house, one.quarantine, one.profile, one.warnings])
        except DataBreach as error:
            found.append([error.what, error.do])
    assert found[0] == found[1]
    assert breach == isinstance(found[0][0], str)


@pytest.mark.parametrize(
    ("few", "many", "beside"), [(60, 1000, False), (59, 1000, True), (1, 60, True), (1, 59, False)]
)
def test_a_process_waits_beside_the_checks_of_neither_few_rows_nor_so_many_that_memory_is_short(
    few: int, many: int, beside: bool, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def aside(ready: Callable[[], object], *, heavy: bool) -> Any:
        asked.append(heavy)
        return workers.aside(ready, heavy=False)

    monkeypatch.setattr(validate, "aside", aside)
    monkeypatch.setattr(validate, "_HEAVY_ROWS", few)
    monkeypatch.setattr(validate, "_HUGE_ROWS", many)
    source.validate()
    assert asked == [beside]


def test_bias_is_that_of_the_rows_that_pass(source: Source) -> None:
    again = [json.loads(line) | {"id": f"again-{n}"} for n, line in enumerate(source.file.read_text().splitlines())]
    source.add(*again[:20])
    found = source.validate()
    assert found.n_quarantined == 20
    page = source.store.read_bytes(found.page).decode()
    assert "n = 60." in page
    assert "n = 80." not in page


def test_documents_that_nobody_was_asked_about_are_not_counted_and_that_is_said(source: Source) -> None:
    words = ["red", "green", "blue", "cat", "dog"]
    text = "".join(f"# What is {word}?\n\nwhat you want is a {word} box and a hot pan.\n\n" for word in words)
    (source.folder.parent / "policy.md").write_text(text)
    documents = SourceSpec(path=str(source.folder.parent / "policy.md"), kind="documents", form="titles")
    snapshot = snapshot_of((str(source.file), documents), source.folder, source.store)
    found = preferences_of(snapshot, DATA, source.tokenizer, [], source.folder, source.store)
    assert found.n_train + found.n_held_out == 60
    (said,) = [one for one in found.warnings if "documents" in one]
    assert re.match(r"\d question\(s\) of documents are not counted: a night asks the serving model first", said)
    assert not [one for one in source.validate().warnings if "documents" in one]


def test_a_source_that_gives_no_row_is_named_with_what_to_do(source: Source) -> None:
    """A company's rules, none of which is a question: all is read, and nothing comes of it."""
    beside = source.folder.parent
    (beside / "rules.md").write_text("# Return due to stain\n\nask for a photo of it and send a new one.\n")
    (beside / "quiet.jsonl").write_text('{"id": "t", "turns": [{"role": "user", "content": "hello"}]}\n')
    given = [
        SourceSpec(path=str(beside / "rules.md"), kind="documents"),
        SourceSpec(path=str(beside / "quiet.jsonl"), kind="conversations"),
    ]
    snapshot = snapshot_of((str(source.file), *given), source.folder, source.store)
    found = preferences_of(snapshot, DATA, source.tokenizer, [], source.folder, source.store)
    rules, quiet = [one for one in found.warnings if "gave no row" in one]
    assert rules.startswith(f"{beside / 'rules.md'} gave no row: none of its files holds a question")
    assert 'form = "titles"' in rules
    assert quiet.startswith(f"{beside / 'quiet.jsonl'} gave no row: nobody edited")
    assert "gave no row" in source.store.read_bytes(found.page).decode()
    assert not [one for one in source.validate().warnings if "gave no row" in one]
