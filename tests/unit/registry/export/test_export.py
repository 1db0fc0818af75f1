"""Exports from a real registry into a real folder: the version that was asked for, approved, and nothing else."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.digest import digest_bytes, digest_file
from infra.errors import NightshiftError
from infra.ledger import ledger_path, read_ledger
from infra.objects import Objects
from infra.store import Blob, Tree
from tasks.contracts import Model
from tasks.errors import ExportError, NotPromotable
from tasks.lm.licence import BaseLicence, note_licence
from tasks.registry.export_check import verify_export
from tasks.registry.export_files import EVIDENCE, MANIFEST, README, SIGNED
from tasks.registry.export_source import ledger_line, read_version
from tasks.registry.manifest import Line
from tasks.registry.model_card import NO_LICENCE, NOT_APPROVED
from tasks.registry.moves import begin
from tests.export_shop import ADAPTER, BASE, MERGED, Shop, files_in, statement_in

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
        with pytest.raises(NightshiftError, match="can't be read"):  # a name that leaves its folder can't even be said
            shop.export(to, form="adapter")
        note.write_text("{")
        with pytest.raises(NightshiftError, match="can't be read"):
            shop.export(to, form="adapter")
    finally:
        note.unlink()


def test_the_line_that_is_named_is_the_promotions_where_there_is_one(to: Objects, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "own")  # a promotion that has only begun is finished by whoever looks next
    number = shop.register("PASS")
    shop.approve(number)
    assert ledger_line(shop.home, read_version(shop.registry, number, shop.store)) == Line(
        seq=shop.decision.seq, digest_=shop.decision.digest
    )
    begin(shop.home, "shop", "promotion", number, 1, shop.registry.version(number).tags, "ben")
    last = read_ledger(ledger_path(shop.home, "shop"))[-1]
    done = shop.export(to, number)
    found = statement_in(Path(done.url), shop)["predicate"]["ledger"]
    assert found == {"seq": last.seq, "digest": last.digest}
    other = Line(seq=99, digest_=last.digest)
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
    shop.around(failed, approval="approved", approval__by="ben")
    with pytest.raises(ExportError, match="the evidence says FAIL"):
        shop.export(to, failed)
    shop.around(failed, nightshift__verdict="PASS")
    for unapproved in (False, True):
        with pytest.raises(ExportError, match=r"the tag nightshift\.verdict says PASS, the evidence FAIL"):
            shop.export(to, failed, unapproved=unapproved)
    assert to.keys() == []


def test_a_waived_version_carries_the_waiver_with_name_and_reason(shop: Shop, to: Objects) -> None:
    waived = shop.register("INCONCLUSIVE", -0.01)
    shop.approve(waived, "eva", "few items, support asked")
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
    shop.approve(number)
    for form in ("merged", "adapter"):
        with pytest.raises(NightshiftError, match=rf"version {number}( of shop can't be exported)?: .*{name}"):
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
    shop.around(number, nightshift__quantise="Q8_0")
    shop.approve(number)

    def merge(model: Model, quantise: str | None) -> Path:
        asked.append((model.digest, quantise))
        return shop.merge(model, quantise)

    shop.export(to, number, merge=merge)
    assert asked == [(shop.model.digest, "Q8_0")]
