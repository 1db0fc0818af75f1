"""Exports from a real registry into a real folder: whole, signed, nothing else; killed anywhere, they end the same."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_bytes, digest_file
from infra.errors import NightshiftError, ObjectConflict
from infra.ledger import append, ledger_path, read_ledger
from infra.objects import Objects, open_objects
from infra.settings import Settings, load_settings
from infra.signing import sign_statement
from infra.store import Blob, Tree
from tasks.contracts import Model
from tasks.errors import ExportError, NotPromotable
from tasks.lm.licence import BaseLicence, note_licence
from tasks.registry.export import Exported, export_version
from tasks.registry.export_check import public_key, read_statement, verify_export
from tasks.registry.export_files import EVIDENCE, MANIFEST, README, SIGNED
from tasks.registry.export_source import ledger_line, read_version
from tasks.registry.manifest import Line
from tasks.registry.model_card import NO_LICENCE, NOT_APPROVED
from tasks.registry.promote import approve, note_move
from tests.registry_world import World
from tests.unit.registry.test_export_files import safetensors

BASE = {
    "model.safetensors": safetensors(b"\1" * 8),
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
}
ADAPTER = {
    "adapter_config.json": b'{"base_model_name_or_path": "tiny-base"}',
    "adapter_model.safetensors": safetensors(b"\2" * 8),
}
MERGED = {*BASE, README, EVIDENCE, MANIFEST, SIGNED}


class Shop(World):
    """The registry world with a model's files: version 1 is the base, 2 is approved, 3 awaits approval, 4 failed.

    ``merge`` stands for the program that merges: it writes other weights beside the base's other files.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, BASE, ADAPTER)
        self.registry.tag(self.version, {"nightshift.cost": "0.0250 EUR (estimated)"})
        approve(self.registry, self.version, "ben", home)
        self.waiting, self.failed = self.register("INCONCLUSIVE", -0.01), self.register("FAIL")
        self.merges = 0
        self.decision = append(ledger_path(home, "shop"), "decision", {"night": self.night(2)}, datetime.now(UTC))

    def night(self, number: int) -> str:
        return self.registry.version(number).tags["nightshift.night"]

    def merge(self, model: Model, quantise: str | None) -> Path:
        self.merges += 1
        return self.laid_out(self.home / "merged", BASE | {"model.safetensors": safetensors(b"\3" * 8)})

    def laid_out(self, folder: Path, files: dict[str, bytes]) -> Path:
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder

    def export(self, objects: Any, number: int = 2, **options: Any) -> Exported:
        merge = options.pop("merge", self.merge)
        return export_version(self.registry, number, objects, self.store, self.home, merge, **options)

    @property
    def key(self) -> bytes:
        return public_key(self.home)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def to(tmp_path: Path, settings: Settings) -> Objects:
    return open_objects(str(tmp_path / "exports"), settings)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def place(tmp_path: Path, shop: Shop) -> Path:
    """Where version 2 lies after its export, merged."""
    return tmp_path / "exports" / "shop" / f"2-{shop.model.digest.removeprefix('sha256:')[:12]}"


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def statement_in(folder: Path, shop: Shop) -> dict[str, Any]:
    return read_statement((folder / SIGNED).read_bytes(), shop.key)


# --- what is exported ---


def test_an_approved_version_is_exported_whole_and_its_signed_list_names_every_file(
    shop: Shop, to: Objects, place: Path
) -> None:
    done = shop.export(to)
    assert (done.url, done.state) == (str(place), "approved")
    assert set(files_in(place)) == MERGED == set(done.sent)
    assert done.sent[-1] == SIGNED
    assert done.statement == digest_file(place / SIGNED)
    signed = {one["name"]: f"sha256:{one['digest']['sha256']}" for one in statement_in(place, shop)["subject"]}
    assert signed == {name: digest_bytes(data) for name, data in files_in(place).items() if name != SIGNED}
    listed = json.loads((place / MANIFEST).read_text())
    assert [(one["path"], f"sha256:{one['sha256']}", one["size"]) for one in listed["files"]] == [
        (name, signed[name], (place / name).stat().st_size) for name in sorted(MERGED - {MANIFEST, SIGNED})
    ]
    assert verify_export(to, shop.key, place.relative_to(Path(to.url)).as_posix()) == []


def test_the_statement_says_what_was_decided_by_whom_and_on_what_evidence(shop: Shop, to: Objects, place: Path) -> None:
    shop.export(to)
    predicate = statement_in(place, shop)["predicate"]
    tags = shop.registry.version(2).tags
    evidence = Blob.model_validate_json(tags["nightshift.evidence"]).digest_
    assert predicate == {
        "name": "shop",
        "version": 2,
        "model": shop.model.digest,
        "form": "merged",
        "night": tags["nightshift.night"],
        "verdict": "PASS",
        "evidence": evidence,
        "quantise": None,
        "state": "approved",
        "note": "",
        "approvers": ["ben"],
        "approved_at": tags["approval.at"],
        "waiver": None,
        "ledger": {"seq": shop.decision.seq, "digest": shop.decision.digest},
    }
    assert digest_file(place / EVIDENCE) == evidence
    card = (place / README).read_text()
    for text in ("tiny-base", "Approved by ben on", "1 pairs", "0.0250 EUR (estimated)", NO_LICENCE):
        assert text in card


def test_an_adapter_is_exported_with_the_bases_tokenizer_and_without_its_weights(shop: Shop, to: Objects) -> None:
    folder = Path(shop.export(to, form="adapter").url)
    assert folder.name.endswith("-adapter")
    assert set(files_in(folder)) == {*BASE, *ADAPTER, README, EVIDENCE, MANIFEST, SIGNED} - {"model.safetensors"}
    assert files_in(folder)["adapter_model.safetensors"] == ADAPTER["adapter_model.safetensors"]


def test_the_base_model_is_exported_whole_in_either_form_without_evidence(shop: Shop, to: Objects) -> None:
    done = shop.export(to, 1, form="adapter")
    assert done.state == "base"
    assert set(files_in(Path(done.url))) == {*BASE, README, MANIFEST, SIGNED}
    predicate = statement_in(Path(done.url), shop)["predicate"]
    assert (predicate["verdict"], predicate["approvers"], predicate["ledger"]) == (None, [], None)
    assert "ann registered it" in (Path(done.url) / README).read_text()


def test_a_licence_that_was_noted_at_the_import_goes_with_the_model(shop: Shop, to: Objects, tmp_path: Path) -> None:
    source = shop.laid_out(tmp_path / "source", {"LICENSE": b"the text", "README.md": b"---\nlicense: mit\n---\n"})
    note = shop.home / "models" / f"{shop.model.base.digest_.removeprefix('sha256:')[:32]}-licence.json"
    note_licence(source, shop.model.base, shop.home, shop.store)
    try:
        folder = Path(shop.export(to).url)
        assert (folder / "LICENSE").read_text() == "the text"
        assert 'license: "mit"' in (folder / README).read_text()
        shop_note = BaseLicence.model_validate_json(note.read_text())
        evil = shop_note.model_copy(update={"files": (shop_note.files[0].model_copy(update={"path": "../LICENSE"}),)})
        note.write_text(evil.model_dump_json())
        with pytest.raises(ExportError, match="is not one"):
            shop.export(to, form="adapter")
        note.write_text("{")
        with pytest.raises(NightshiftError, match="can't be read"):
            shop.export(to, form="adapter")
    finally:
        note.unlink()


def test_the_line_that_is_named_is_the_promotions_where_there_is_one(shop: Shop, to: Objects) -> None:
    number = shop.register("PASS")
    approve(shop.registry, number, "ben", shop.home)
    assert ledger_line(shop.home, read_version(shop.registry, number, shop.store)) == Line(
        seq=shop.decision.seq, digest=shop.decision.digest
    )
    note_move(shop.home, "shop", "promotion", number, 1, shop.registry.version(number).tags)
    last = read_ledger(ledger_path(shop.home, "shop"))[-1]
    done = shop.export(to, number)
    found = statement_in(Path(done.url), shop)["predicate"]["ledger"]
    assert found == {"seq": last.seq, "digest": last.digest}
    other = Line(seq=99, digest=last.digest)
    done = shop.export(to, number, form="adapter", line=other)
    assert statement_in(Path(done.url), shop)["predicate"]["ledger"]["seq"] == 99


# --- approval ---


@pytest.mark.parametrize("number", [3, 4])
def test_a_version_that_nobody_approved_is_refused_and_nothing_is_written(
    shop: Shop, to: Objects, tmp_path: Path, number: int
) -> None:
    with pytest.raises(ExportError, match=f"version {number} isn't approved"):
        shop.export(to, number)
    assert to.keys() == []


@pytest.mark.parametrize("number", [3, 4])
def test_an_unapproved_version_is_exported_on_demand_apart_and_marked_in_bold(
    shop: Shop, to: Objects, number: int
) -> None:
    done = shop.export(to, number, unapproved=True)
    folder = Path(done.url)
    assert done.state == "unapproved"
    assert folder.name.endswith("-unapproved")
    predicate = statement_in(folder, shop)["predicate"]
    assert (predicate["state"], predicate["note"], predicate["approvers"]) == ("unapproved", NOT_APPROVED, [])
    assert NOT_APPROVED in (folder / README).read_text()


def test_the_flag_for_unapproved_versions_marks_no_approved_one(shop: Shop, to: Objects, place: Path) -> None:
    assert shop.export(to, unapproved=True).url == str(place)
    assert NOT_APPROVED not in (place / README).read_text()


def test_an_approval_forged_onto_a_failed_version_exports_nothing(shop: Shop, to: Objects) -> None:
    failed = shop.register("FAIL")
    shop.registry.tag(failed, {"approval": "approved", "approval.by": "ben"})
    with pytest.raises(ExportError, match="the evidence says FAIL"):
        shop.export(to, failed)
    shop.registry.tag(failed, {"nightshift.verdict": "PASS"})
    for unapproved in (False, True):
        with pytest.raises(ExportError, match=r"the tag nightshift\.verdict says PASS, the evidence FAIL"):
            shop.export(to, failed, unapproved=unapproved)
    assert to.keys() == []


def test_a_waived_version_carries_the_waiver_with_name_and_reason(shop: Shop, to: Objects) -> None:
    waived = shop.register("INCONCLUSIVE", -0.01)
    approve(shop.registry, waived, "eva", shop.home, "few items, support asked")
    done = shop.export(to, waived)
    predicate = statement_in(Path(done.url), shop)["predicate"]
    assert predicate["waiver"] == {"by": "eva", "reason": "few items, support asked"}
    assert "Waived by eva" in (Path(done.url) / README).read_text()


def test_a_version_of_others_and_one_that_doesnt_exist_are_refused(shop: Shop, to: Objects) -> None:
    foreign = shop.registry.create("store:/x", None, {}, "")
    with pytest.raises(ExportError, match="neither a candidate of a night nor a base model"):
        shop.export(to, foreign)
    with pytest.raises(NightshiftError, match="has no version 999"):
        shop.export(to, 999)


# --- nothing but what was gated ---


@contextmanager
def edited(path: Path) -> Iterator[None]:
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data + b" ")
    yield
    path.write_bytes(data)


@pytest.mark.parametrize("what", ["base", "adapter", "scorecard", "evidence", "pairs"])
def test_a_store_object_that_was_tampered_with_is_refused_before_anything_is_written(
    shop: Shop, to: Objects, what: str
) -> None:
    assert shop.model.adapter is not None
    digest = {
        "base": shop.model.base.files[-1].digest_,
        "adapter": shop.model.adapter.files[-1].digest_,
        "scorecard": shop.card.digest_,
        "evidence": json.loads(shop.registry.version(2).tags["nightshift.evidence"])["digest_"],
        "pairs": digest_bytes(b"pairs"),
    }[what]
    with edited(shop.store.path(digest)), pytest.raises(NotPromotable, match="has been changed"):
        shop.export(to)
    assert to.keys() == []


def test_a_tampered_base_model_is_refused_as_well(shop: Shop, to: Objects) -> None:
    with edited(shop.store.path(shop.base.base.files[0].digest_)), pytest.raises(ExportError, match="has been changed"):
        shop.export(to, 1)
    assert to.keys() == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling.py", "sub/config.json", "notes.txt", "evidence.json"])
def test_a_model_with_a_file_that_is_on_no_list_is_refused_before_anything_is_merged_or_written(
    shop: Shop, to: Objects, tmp_path: Path, name: str
) -> None:
    tree: Tree = shop.tree(f"bad-{tmp_path.name}", {**BASE, name: b"{}"})
    kept, before = shop.model, shop.merges
    shop.model = Model(base=tree, adapter=kept.adapter)
    try:
        number = shop.register("PASS")
    finally:
        shop.model = kept
    approve(shop.registry, number, "ben", shop.home)
    for form in ("merged", "adapter"):
        with pytest.raises(ExportError, match=f"version {number} of shop can't be exported"):
            shop.export(to, number, form=form)
    assert (shop.merges, to.keys()) == (before, [])


def test_a_merge_that_leaves_a_pickle_or_a_folder_is_refused_before_anything_is_written(
    shop: Shop, to: Objects, tmp_path: Path
) -> None:
    for name in ("pytorch_model.bin", "more/config.json"):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        shop.laid_out(folder, {**BASE, name: b"{}"})
        with pytest.raises(ExportError, match="can't be exported"):
            shop.export(to, merge=lambda model, quantise, folder=folder: folder)
    assert to.keys() == []


def test_the_type_that_was_judged_is_what_the_merge_is_asked_for(shop: Shop, to: Objects) -> None:
    asked = []
    number = shop.register("PASS")
    shop.registry.tag(number, {"nightshift.quantise": "Q8_0"})
    approve(shop.registry, number, "ben", shop.home)

    def merge(model: Model, quantise: str | None) -> Path:
        asked.append((model.digest, quantise))
        return shop.merge(model, quantise)

    shop.export(to, number, merge=merge)
    assert asked == [(shop.model.digest, "Q8_0")]


# --- order of writes ---


class Killed(Exception):
    """Stands for a process that was killed."""


class Dying:
    """Objects whose process dies at a write: before it, or after it was done."""

    def __init__(self, objects: Objects, at: int, *, done: bool) -> None:
        self._objects, self._at, self._done = objects, at, done
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def put(self, key: str, *args: Any, **options: Any) -> str:
        return self._write(key, lambda: self._objects.put(key, *args, **options))

    def put_file(self, key: str, *args: Any, **options: Any) -> str:
        return self._write(key, lambda: self._objects.put_file(key, *args, **options))

    def _write(self, key: str, write: Callable[[], str]) -> str:
        if key == "conditions.probe":  # of the place, not of an export
            return write()
        dies = len(self.written) == self._at
        if dies and not self._done:
            raise Killed
        self.written.append(key)
        etag = write()
        if dies:
            raise Killed
        return etag


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("at", range(len(MERGED)))
def test_an_export_killed_at_any_write_doesnt_exist_and_ends_the_same_without_sending_anything_twice(
    shop: Shop, tmp_path: Path, settings: Settings, place: Path, at: int, done: bool
) -> None:
    whole = open_objects(str(tmp_path / "whole"), settings)
    shop.export(whole)
    to = open_objects(str(tmp_path / "exports"), settings)
    dying = Dying(to, at, done=done)
    with pytest.raises(Killed):
        shop.export(dying)
    last = done and at == len(MERGED) - 1
    assert (place / SIGNED).exists() == last
    folder = place.relative_to(tmp_path / "exports").as_posix()
    if not last:
        assert "there is no export here" in verify_export(to, shop.key, folder)[0]
    again = Dying(to, -1, done=False)
    shop.export(again)
    assert sorted(dying.written + again.written) == sorted(f"{folder}/{name}" for name in MERGED)
    assert files_in(place) == files_in(tmp_path / "whole" / folder)
    assert verify_export(to, shop.key, folder) == []


def test_a_finished_export_is_found_without_merging_or_writing(shop: Shop, to: Objects) -> None:
    first = shop.export(to)
    before, counting = shop.merges, Dying(to, -1, done=False)
    assert shop.export(counting) == first._replace(sent=())
    assert (counting.written, shop.merges) == ([], before)


def test_another_file_under_a_name_of_ours_is_named_and_no_manifest_is_signed(
    shop: Shop, to: Objects, place: Path
) -> None:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    with pytest.raises(ExportError, match=r"config\.json is there already and is another file"):
        shop.export(to)
    assert (place / "config.json").read_text() == "{}"
    assert not (place / SIGNED).exists()


def test_a_file_that_is_no_part_of_the_export_stops_it_before_anything_is_written(
    shop: Shop, to: Objects, place: Path
) -> None:
    place.mkdir(parents=True)
    (place / "pytorch_model.bin").write_bytes(b"evil")
    with pytest.raises(ExportError, match=r"holds pytorch_model\.bin, which is no part"):
        shop.export(to)
    assert set(files_in(place)) == {"pytorch_model.bin"}


def test_a_signed_export_that_lost_or_gained_a_file_is_not_taken_for_complete(
    shop: Shop, to: Objects, place: Path
) -> None:
    shop.export(to)
    data = (place / "config.json").read_bytes()
    (place / "config.json").unlink()
    with pytest.raises(ExportError, match=r"is signed, and lacks config\.json"):
        shop.export(to)
    (place / "config.json").write_bytes(data)
    (place / "extra.safetensors").write_bytes(b"x")
    with pytest.raises(ExportError, match=r"holds extra\.safetensors"):
        shop.export(to)


def test_a_signed_export_of_something_else_in_our_place_is_refused(shop: Shop, to: Objects, place: Path) -> None:
    other = Path(shop.export(to, 3, unapproved=True).url)
    place.mkdir(parents=True)
    for name, data in files_in(other).items():
        (place / name).write_bytes(data)
    with pytest.raises(ExportError, match="was exported with version = 3, now it is 2"):
        shop.export(to)


def test_two_exports_at_once_end_with_one_whole_export(shop: Shop, to: Objects, place: Path, tmp_path: Path) -> None:
    """Each holds the other up where both have seen that a file isn't there yet."""
    meet = threading.Barrier(2)

    class Meeting(Dying):
        def digest(self, key: str) -> Any:
            found = self._objects.digest(key)
            if found is None and not meet.broken:
                with suppress(threading.BrokenBarrierError):
                    meet.wait(5)
            return found

    folder = shop.laid_out(tmp_path / "merged", BASE | {"model.safetensors": safetensors(b"\3" * 8)})
    found: list[Any] = []

    def go() -> None:
        try:
            found.append(shop.export(Meeting(to, -1, done=False), merge=lambda model, quantise: folder))
        except Exception as error:  # noqa: BLE001 - the thread's error is the test's
            found.append(error)

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in found] == [Exported, Exported]
    assert found[0].statement == found[1].statement == digest_file(place / SIGNED)
    assert sorted(found[0].sent + found[1].sent) == sorted(MERGED)
    assert verify_export(to, shop.key, place.relative_to(Path(to.url)).as_posix()) == []


# --- verification ---


@pytest.fixture
def exported(shop: Shop, to: Objects) -> Path:
    return Path(shop.export(to).url)


def problems(exported: Path, key: bytes, settings: Settings) -> list[str]:
    return verify_export(open_objects(str(exported), settings), key)


def test_a_whole_export_has_no_problem(exported: Path, shop: Shop, settings: Settings) -> None:
    assert problems(exported, shop.key, settings) == []


@pytest.mark.parametrize("name", sorted(MERGED - {SIGNED}))
def test_every_file_that_was_changed_or_removed_is_named(
    exported: Path, shop: Shop, settings: Settings, name: str
) -> None:
    (exported / name).write_bytes((exported / name).read_bytes() + b" ")
    (changed,) = problems(exported, shop.key, settings)
    assert changed.startswith(f"{name} was changed")
    (exported / name).unlink()
    assert problems(exported, shop.key, settings) == [f"{name} is missing"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", ".hidden", "sub/model.safetensors"])
def test_every_file_that_was_not_signed_is_named(exported: Path, shop: Shop, settings: Settings, name: str) -> None:
    (exported / name).parent.mkdir(exist_ok=True)
    (exported / name).write_bytes(b"x")
    assert problems(exported, shop.key, settings) == [f"{name} is no part of the export"]


def test_an_export_without_its_manifest_is_none(exported: Path, shop: Shop, settings: Settings) -> None:
    (exported / SIGNED).unlink()
    assert "there is no export here" in problems(exported, shop.key, settings)[0]


def test_a_changed_statement_another_key_and_nonsense_are_found(
    exported: Path, shop: Shop, settings: Settings, tmp_path: Path
) -> None:
    envelope = json.loads((exported / SIGNED).read_text())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["verdict"] = "FAIL"
    forged = envelope | {"payload": base64.b64encode(json.dumps(payload).encode()).decode()}
    for text in (json.dumps(forged), "{", "[]", "{}", json.dumps(envelope | {"signatures": []})):
        (exported / SIGNED).write_text(text)
        assert len(problems(exported, shop.key, settings)) == 1
    (exported / SIGNED).write_text(json.dumps(envelope))
    assert problems(exported, shop.key, settings) == []
    (tmp_path / "else").mkdir()
    sign_statement({"a": digest_bytes(b"a")}, "test://x", {}, tmp_path / "else")
    assert len(problems(exported, public_key(tmp_path / "else"), settings)) == 1


def test_a_statement_about_something_else_is_no_export(exported: Path, shop: Shop, settings: Settings) -> None:
    subjects = {name: digest_bytes(data) for name, data in files_in(exported).items() if name != SIGNED}
    other = sign_statement(subjects, "https://slsa.dev/provenance/v1", {}, shop.home)
    (exported / SIGNED).write_text(json.dumps(other))
    assert "statement of the kind" in problems(exported, shop.key, settings)[0]


def test_a_missing_public_key_says_where_it_would_lie(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"signing\.pub\.pem can't be read"):
        public_key(tmp_path)


def test_a_conflict_that_is_the_same_file_is_none(shop: Shop, to: Objects, place: Path) -> None:
    """Another export's file appears between the look and the write."""

    class Late(Dying):
        def put(self, key: str, data: bytes, **options: Any) -> str:
            if key.endswith(README):
                self._objects.put(key, data)
                raise ObjectConflict("it is there", do="look")
            return self._objects.put(key, data, **options)

    assert README not in shop.export(Late(to, -1, done=False)).sent
    assert verify_export(to, shop.key, place.relative_to(Path(to.url)).as_posix()) == []
