"""Metrics and readiness: right numbers from records, few series, and no file that can take the page down."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flows import observed
from flows.cli import main
from flows.frame import END_NAMES
from flows.observed import Looks, app_of, collect, metrics_text, pages, readiness
from infra.digest import short
from infra.errors import ServerError
from infra.exposition import Family, Sample, exposition
from infra.launch import Launch
from infra.observed import routes
from infra.settings import ROOT, Settings
from infra.slurm.journal import Entry, Journal
from infra.store import Blob, Store
from infra.webhooks import Deliveries, receiver
from tasks.cost.kept import KeptBill, keep
from tasks.metric_families import FAMILIES, NAMES, STATES
from tasks.metric_nights import last_ids, night_samples
from tasks.registry.audited import audited_path, note_audit, read_audited
from tasks.registry.hold import Hold
from tasks.registry.manifest import Manifest, Share, write_manifest
from tests.unit.cost.bills import kept, line

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
GUIDE = ROOT / "docs" / "guides" / "operations.md"


def values(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = [one for family in text_string_to_metric_families(text.decode()) for one in family.samples]
    return {(one.name, frozenset(one.labels.items())): one.value for one in found}


def of(samples: list[Sample], name: str) -> dict[tuple[str, ...], float]:
    return {one.labels: one.value for one in samples if one.name == f"nightshift_{name}"}


def manifest(name: str = "support") -> Manifest:
    blob = Blob(digest_="sha256:" + "0" * 64, size=1)
    return Manifest(
        name=name, version=7, model=blob.digest_, model_ref=blob, evidence=None, verdict=None, move="init", by="ann",
        at="2026-11-02T03:00:00+00:00", traffic=(Share(version=7, share=1.0),),
    )  # fmt: skip


def filled(home: Path) -> Path:
    """A home with one of every record that is read."""
    last = kept("b", line("align", 3.0, seconds=3600.0), line("score", 1.5, seconds=600.0), month_budget=5.0)
    keep(home, last)
    keep(home, kept("a", line(amount=2.0), state="Failed", verdict=None, started="2026-11-02T02:00:00+01:00",
                    ended="2026-11-02T03:00:00+01:00"))  # fmt: skip
    folder = home / "nights" / short(last.id, 16)
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text('{"data": {"train": 60, "held_out": 20, "quarantined": 20}}')
    write_manifest(home, manifest())
    held = Hold(name="support", what="w", do="d", since="2026-11-02T03:00:00+00:00", finding="f", version=7)
    (home / "serving" / "support.hold.json").write_text(held.model_dump_json())
    note_audit(home, clean=True)
    (home / "incidents").mkdir()
    (home / "incidents" / "x.json").write_text("not one")
    launch = Launch(key="k", name="a", module="m", spec="s", result="r", folder="/f", seconds=999, root="/", python="p")
    Journal(home / "slurm" / "gpus").write(Entry(flow_run="f", launch=launch, job="17"))
    Store(home / "store").put_bytes(b"12345")
    return home


def test_what_nights_cost_and_how_they_ended_is_what_their_bills_say(tmp_path: Path) -> None:
    found = collect(filled(tmp_path), NOW)
    # two hours, from two o'clock in Berlin
    assert of(found, "night_end_timestamp_seconds") == {("support", "shop", "cloud"): 1793674800.0 + 0}
    assert of(found, "night_duration_seconds") == {("support",): 7200.0}
    assert of(found, "night_step_seconds") == {("support", "align"): 3600.0, ("support", "score"): 600.0}
    assert of(found, "night_amount") == {("support", "EUR", "quoted"): 4.5}
    assert of(found, "night_energy_kwh") == {("support", "measured"): 5.6}
    assert of(found, "night_gpu_hours") == {("support",): 8.0}
    assert of(found, "night_quarantined_ratio") == {("support",): 0.2}
    assert of(found, "month_amount") == {("support", "shop", "EUR", "quoted"): 6.5}
    assert of(found, "month_budget_amount") == {("support", "EUR"): 5.0}
    assert of(found, "nights")["support", "Completed"] == 1
    assert of(found, "nights")["support", "Failed"] == 1
    assert sum(of(found, "nights").values()) == 2
    assert [labels for labels, value in of(found, "night_verdict").items() if value] == [("support", "PASS")]
    assert of(found, "champion_version") == {("support",): 7.0}
    assert of(found, "champion_since_timestamp_seconds") == {("support",): 1793588400.0}
    assert of(found, "serving_held") == {("support",): 1.0}
    assert of(found, "remote_jobs") == {("gpus", "submitted"): 1.0}
    assert of(found, "store_bytes") == {(): 5.0}
    assert of(found, "store_objects") == {(): 1.0}
    assert of(found, "unreadable_files")["incident",] == 1.0
    assert of(found, "collected_timestamp_seconds") == {(): NOW.timestamp()}


def test_a_night_that_failed_does_not_count_as_done_and_a_new_month_has_cost_nothing() -> None:
    failed = kept("c", line(amount=1.0), state="Failed", ended="2026-11-04T03:00:00+01:00")
    december = datetime(2026, 12, 1, 1, tzinfo=UTC)
    found = list(night_samples([failed, kept("b", line())], {}, december))
    assert of(found, "done_timestamp_seconds") == {("support",): 1793674800.0}
    assert [labels for labels, value in of(found, "night_state").items() if value] == [("support", "Failed")]
    assert of(found, "month_amount") == {("support", "shop", "EUR", "quoted"): 0.0}


def test_a_receipt_s_comparison_is_the_month_s_cost_and_no_night() -> None:
    now = datetime.fromisoformat("2026-11-10T08:00:00+01:00")
    compared = kept("compared", line(amount=2.0), state="Receipt", verdict=None, version=None,
                    started="2026-11-09T09:00:00+01:00", ended="2026-11-09T09:10:00+01:00")  # fmt: skip
    found = list(night_samples([kept("a", line(amount=10.0)), compared], {}, now))
    assert of(found, "night_amount") == {("support", "EUR", "quoted"): 10.0}
    assert of(found, "month_amount") == {("support", "shop", "EUR", "quoted"): 12.0}
    assert of(found, "nights")["support", "Completed"] == 1
    assert not any(value for (_, state), value in of(found, "nights").items() if state != "Completed")
    alone = list(night_samples([compared], {}, now))
    assert {one.name for one in alone} == {"nightshift_month_amount"}
    assert last_ids([compared]) == []


def test_an_amount_of_example_prices_is_never_among_those_of_real_ones() -> None:
    example = kept("d", line(amount=8.0, example=True), ended="2026-11-04T03:00:00+01:00")
    found = list(night_samples([kept("b", line(amount=2.0)), example], {}, NOW))
    assert of(found, "night_amount") == {("support", "EUR", "example"): 8.0}
    assert of(found, "month_amount") == {
        ("support", "shop", "EUR", "example"): 8.0,
        ("support", "shop", "EUR", "quoted"): 2.0,
    }


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*STATES, "Exploded", ""]), st.text(max_size=8), st.text(max_size=8)),
        min_size=1,
        max_size=12,
    )
)
def test_a_recipe_has_as_many_series_after_a_year_as_after_a_night(nights: list[tuple[str, str, str]]) -> None:
    bills = [
        kept(f"n{number}", line(step=step or "align"), state=state, verdict=verdict, version=number)
        for number, (state, verdict, step) in enumerate(nights)
    ]
    text = exposition(FAMILIES, night_samples(bills, {}, NOW))
    found = values(text)
    assert len(found) <= len(values(exposition(FAMILIES, night_samples([kept("x", line())], {}, NOW)))) + 1
    for name in ("nightshift_night_state", "nightshift_night_verdict"):
        assert sum(value for (one, _), value in found.items() if one == name) == 1


DAMAGE: dict[str, Callable[[Path], Path]] = {
    "bill": lambda home: next((home / "bills").glob("*/a.json")),
    "summary": lambda home: next((home / "nights").glob("*/summary.json")),
    "manifest": lambda home: home / "serving" / "support.json",
    "hold": lambda home: home / "serving" / "support.hold.json",
    "audit": audited_path,
    "job": lambda home: home / "slurm" / "gpus" / "f.json",
    "journal": lambda home: home / "guard" / "registry.jsonl",
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"data": 5, "form": 1}\n', b"\x00" * 50])
def test_a_damaged_file_is_counted_and_takes_nothing_else_with_it(tmp_path: Path, kind: str, garbage: bytes) -> None:
    whole = collect(filled(tmp_path), NOW)
    path = DAMAGE[kind](tmp_path)
    path.write_bytes(garbage)
    found = collect(tmp_path, NOW)
    said = values(exposition(FAMILIES, found))
    counts = of(found, "unreadable_files")
    torn = kind == "journal" and b"\n" not in garbage  # a line that is being written
    assert counts[kind,] + counts["other",] == (0.0 if torn else 1.0)
    assert counts["other",] == 0
    assert said
    lost = {one.name for one in whole} - {one.name for one in found}
    assert len(lost) <= 2
    if kind == "hold":  # it is held, whatever the file says
        assert of(found, "serving_held") == {("support",): 1.0}


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(sorted(DAMAGE)), at=st.floats(0, 1), put=st.binary(max_size=6))
def test_no_change_of_a_file_takes_the_page_down(
    tmp_path_factory: pytest.TempPathFactory, kind: str, at: float, put: bytes
) -> None:
    home = filled(tmp_path_factory.mktemp("home"))
    path = DAMAGE[kind](home)
    data = path.read_bytes() if path.exists() else b'{"seq": 1}\n'
    cut = int(at * len(data))
    path.write_bytes(data[:cut] + put + data[cut + len(put) :])
    assert values(metrics_text(home))


def test_a_manifest_under_another_models_name_is_damaged_and_not_shown_twice(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    (tmp_path / "serving" / "other.json").write_text((tmp_path / "serving" / "support.json").read_text())
    found = collect(tmp_path, NOW)
    assert of(found, "champion_version") == {("support",): 7.0}
    assert of(found, "unreadable_files")["manifest",] == 1.0


def test_an_empty_home_has_metrics_too(tmp_path: Path) -> None:
    assert ("nightshift_incidents_open", frozenset({("recipe", "")})) in values(metrics_text(tmp_path))


@pytest.mark.parametrize(
    ("sample", "what"),
    [
        (Sample("unknown", 1.0), "no declared family"),
        (Sample("x", 1.0), "has not its labels"),
        (Sample("x", float("nan"), ("a",)), "not finite"),
        (Sample("x", 2.0, ("b",)), "there twice"),
    ],
)
def test_what_prometheus_would_refuse_is_refused_here(sample: Sample, what: str) -> None:
    with pytest.raises(ServerError, match=what):
        exposition([Family("x", "an x", ("y",))], [Sample("x", 1.0, ("b",)), sample])


def test_every_name_under_which_a_night_ends_has_a_series_of_its_own() -> None:
    assert set(END_NAMES.values()) <= set(STATES)


# --- the guide ---


def test_the_guide_describes_every_metric_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"^\| `(nightshift_\w+)` \|([^|]*)\|", GUIDE.read_text(), re.MULTILINE)
    assert {name: tuple(filter(None, labels.strip().split(", "))) for name, labels in rows} == {
        one.name: one.labels for one in FAMILIES
    }


def test_every_metric_and_label_of_the_alert_rules_exists() -> None:
    (rules,) = re.findall(r"```yaml\n(groups:.*?)```", GUIDE.read_text(), re.DOTALL)
    named = re.findall(r"nightshift_\w+", rules)
    assert len(named) >= 11
    assert set(named) <= NAMES
    labels = {label for one in FAMILIES for label in one.labels}
    assert set(re.findall(r"\$labels\.(\w+)", rules)) <= labels
    for wanted in ("done_timestamp", "serving_held", "free_bytes", "month_budget"):
        assert wanted in rules


def test_the_budget_rule_joins_what_has_the_same_recipe_and_currency(tmp_path: Path) -> None:
    found = collect(filled(tmp_path), NOW)
    (spent,) = {(recipe, currency) for recipe, _, currency, _ in of(found, "month_amount")}
    assert spent in of(found, "month_budget_amount")


# --- the pages ---


def settings_of(home: Path, **more: Any) -> Settings:
    return Settings(home=home, **more)  # pyright: ignore[reportCallIssue]


def test_the_promotion_service_shows_the_pages_beside_its_webhook(tmp_path: Path) -> None:
    app = receiver("s", Deliveries(tmp_path / "d"), lambda: 0.0, lambda: None, pages(settings_of(tmp_path), Looks()))
    client = TestClient(app)
    shown = client.get("/metrics")
    assert shown.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert values(shown.content)
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/health").status_code == 200
    assert client.post("/metrics").status_code == 405
    answer = client.get("/readyz")
    assert answer.status_code == 503
    wrong = {one["name"]: (one["what"], one["do"]) for one in answer.json()["parts"] if not one["ready"]}
    assert wrong.keys() == {"prefect", "promotions"}
    assert "start it: `nightshift up`" in wrong["prefect"][1]
    assert "has not looked into the registry since it started" in wrong["promotions"][0]


def test_readiness_names_each_part_that_is_wrong_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book.toml").write_text("nothing = 1")
    urls = {"prefect_api_url": "http://127.0.0.1:9/api", "mlflow_tracking_uri": "http://127.0.0.1:9"}
    found = readiness(settings_of(tmp_path, price_book=tmp_path / "book.toml", **urls))
    assert {one.name for one in found if not one.ready} == {"mlflow", "prefect", "prices"}
    assert all(one.what and one.do for one in found if not one.ready)
    monkeypatch.setattr(observed, "answers", lambda url: True)
    assert all(one.ready for one in readiness(settings_of(tmp_path, **urls)))
    monkeypatch.setattr(observed, "_LEAST_FREE", 1e18)
    (wrong,) = [one for one in readiness(settings_of(tmp_path, **urls)) if not one.ready]
    assert "GB left" in wrong.what


def test_the_service_is_not_ready_once_it_has_stopped_looking() -> None:
    now = [0.0]
    looks = Looks(lambda: now[0])
    looks.done()
    assert looks.part(5.0).ready
    now[0] = 121.0
    assert "for 121 s" in looks.part(5.0).what
    assert looks.part(60.0).ready  # it looks seldom


def test_who_asks_often_is_given_the_same_answer_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = [], [100.0]
    monkeypatch.setattr("infra.observed.time.monotonic", lambda: now[0])
    client = TestClient(Starlette(routes=routes(lambda: made.append(1) or b"x 1\n", list)))
    for _ in range(20):
        client.get("/metrics")
    assert len(made) == 1
    now[0] += 6
    client.get("/metrics")
    assert len(made) == 2


def test_metrics_once_prints_them_and_an_open_address_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home, kept("b", line()))
    assert main(["metrics", "--once"]) == 0
    assert 'nightshift_nights{recipe="support",state="Completed"} 1.0' in capsys.readouterr().out
    monkeypatch.setenv("NIGHTSHIFT_HOST", "0.0.0.0")
    assert main(["metrics"]) == 1
    assert "0.0.0.0 without TLS" in capsys.readouterr().err


def test_the_note_of_audits_keeps_when_the_last_clean_one_was(tmp_path: Path) -> None:
    note_audit(tmp_path, clean=False)
    assert (found := read_audited(tmp_path)) is not None
    assert found.clean_at is None
    note_audit(tmp_path, clean=True)
    first = json.loads(audited_path(tmp_path).read_text())["clean_at"]
    note_audit(tmp_path, clean=False)
    assert json.loads(audited_path(tmp_path).read_text())["clean_at"] == first
    audited_path(tmp_path).write_text("{")
    note_audit(tmp_path, clean=False)
    assert json.loads(audited_path(tmp_path).read_text())["clean_at"] is None


def test_a_bill_of_before_budgets_were_kept_is_read(tmp_path: Path) -> None:
    path = keep(tmp_path, kept("b", line()))
    old = json.loads(path.read_text())
    del old["month_budget"]
    assert KeptBill.model_validate(old).month_budget is None


def test_the_page_of_the_command_is_the_same_app(tmp_path: Path) -> None:
    assert TestClient(app_of(settings_of(tmp_path))).get("/healthz").status_code == 200
