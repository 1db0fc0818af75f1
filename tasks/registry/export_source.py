"""What an export is made of: a version, its evidence and its files, all checked before anything is written."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from infra.digest import Digest, digest_file, digest_of, short
from infra.errors import StoreError
from infra.ledger import ledger_path, read_ledger
from infra.store import Blob, Store, Tree
from tasks.contracts import Evidence, Model
from tasks.errors import ExportError
from tasks.parts import lines_of
from tasks.registry.approval import refuse_contradiction
from tasks.registry.client import Registry
from tasks.registry.client import read_version as read_model
from tasks.registry.export_files import Source, check_files, is_weights
from tasks.registry.manifest import Line
from tasks.registry.model_card import NOT_APPROVED, Approval, Facts, Form, Licence
from tasks.registry.promote import check_objects, read_evidence

State = Literal["approved", "unapproved", "base"]
Merge = Callable[[Model, str | None], Path]


class Version(NamedTuple):
    """What a version is, its evidence and files checked. ``evidence`` is None for a base model."""

    name: str
    number: int
    model: Model
    evidence: Evidence | None
    evidence_blob: Blob | None
    tags: Mapping[str, str]

    @property
    def what(self) -> str:
        return f"version {self.number} of {self.name}"

    @property
    def quantise(self) -> str | None:
        """GGUF type that the judged weights were rounded to, where they were."""
        return self.tags.get("nightshift.quantise") or None


def read_version(registry: Registry, number: int, store: Store) -> Version:
    """A version with its evidence, every object of it hashed and compared.

    Raises:
        NotPromotable: an object is missing or was changed.
        ExportError: the tags contradict the evidence, or the version isn't ours.
    """
    tags = registry.version(number).tags
    if tags.get("nightshift.role") == "candidate":
        evidence = read_evidence(tags, number, store)
        reason = refuse_contradiction(tags, number, evidence)
        if reason is not None:
            raise ExportError(reason, do="find out who changed the tag; run a new night")
        check_objects(evidence, number, store)
        blob = Blob.model_validate_json(tags["nightshift.evidence"])
        return Version(registry.name, number, evidence.model, evidence, blob, tags)
    if tags.get("nightshift.role") != "base":
        raise ExportError(
            f"version {number} of {registry.name} is neither a candidate of a night nor a base model",
            do="name a version that Nightshift registered",
        )
    model = read_model(registry, number, store).model
    try:
        _verified(model.base, store)
    except StoreError as error:
        raise ExportError(f"version {number} of {registry.name}: {error.what}", do=error.do) from error
    return Version(registry.name, number, model, None, None, tags)


def _verified(tree: Tree, store: Store) -> None:
    if digest_of(tree.files) != tree.digest_:
        raise StoreError(f"the file list of {tree.digest_} was changed", do="register the base model again")
    for file in tree.files:
        store.open_path(file.digest_)


def approval_of(tags: Mapping[str, str]) -> Approval:
    return Approval(
        by=tuple(name for part in tags.get("approval.by", "").split(",") if (name := part.strip())),
        at=tags.get("approval.at"),
        waiver=tags.get("waiver", "").strip(),
        waived_by=tags.get("waiver.by", ""),
    )


def export_folder(name: str, number: int, model: Digest, form: Form, state: State) -> str:
    """Where a version lies under the target. What isn't the usual has a name of its own, so that both can be there."""
    marks = ("-adapter" if form == "adapter" else "") + ("-unapproved" if state == "unapproved" else "")
    return f"{name}/{number}-{short(model, 12)}{marks}"


def claims(version: Version, form: Form, state: State) -> dict[str, Any]:
    """What the statement says of the version itself: the same whenever it is exported."""
    evidence = version.evidence
    return {
        "name": version.name,
        "version": version.number,
        "model": version.model.digest,
        "form": form,
        "night": evidence.night if evidence else None,
        "verdict": evidence.verdict.verdict if evidence else None,
        "evidence": version.evidence_blob.digest_ if version.evidence_blob else None,
        "quantise": version.quantise if form == "merged" else None,
        "state": state,
        "note": NOT_APPROVED if state == "unapproved" else "",
    }


def ledger_line(home: Path, version: Version) -> Line | None:
    """The recipe's ledger's line about the version: of its promotion, else of its night's decision."""
    if version.evidence is None:
        return None
    entries = read_ledger(ledger_path(home, version.name))
    moves = [one for one in entries if one.kind == "promotion" and one.body["version"] == version.number]
    model = version.evidence.model.digest  # a night with several phases has decided on several models
    decisions = [
        one
        for one in entries
        if one.kind == "decision"
        and one.body["night"] == version.evidence.night
        and one.body.get("candidate", model) == model
    ]
    newest = (moves or decisions)[-1:]
    return Line(seq=newest[0].seq, digest_=newest[0].digest) if newest else None


def model_files(version: Version, form: Form, store: Store, merge: Merge) -> dict[str, Source]:
    """The model's own files, by name. What the trees hold was hashed before; what is merged is hashed here.

    The trees are checked here, before anything is merged; whoever adds files checks the whole.

    Raises:
        ExportError: a file must not be exported, or there is no adapter to export.
    """
    model = version.model
    trees = [model.base, *([model.adapter] if model.adapter else [])]
    for tree in trees:
        check_files(_from_tree(tree, store), version.what)
    if form == "adapter":
        if model.adapter is None:
            raise ExportError(f"{version.what} was trained whole: it has no adapter", do="export it with --form merged")
        beside = {name: file for name, file in _from_tree(model.base, store).items() if not is_weights(name)}
        files = beside | _from_tree(model.adapter, store)
    elif model.adapter is None and version.quantise is None:
        files = _from_tree(model.base, store)
    else:
        files = _from_folder(merge(model, version.quantise))
    return files


def _from_tree(tree: Tree, store: Store) -> dict[str, Source]:
    return {file.path: Source(store.path(file.digest_), file.digest_, file.size) for file in tree.files}


def _from_folder(folder: Path) -> dict[str, Source]:
    return {
        path.relative_to(folder).as_posix(): Source(path, digest_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def facts_of(version: Version, form: Form, store: Store, approval: Approval | None, licence: Licence | None) -> Facts:
    model, evidence = version.model, version.evidence
    pairs = None
    if evidence is not None:
        pairs = sum(1 for _ in lines_of(evidence.trained_on, store))
    return Facts(
        name=version.name,
        version=version.number,
        form=form,
        model=model.digest,
        base=model.base.digest_,
        adapter=model.adapter.digest_ if model.adapter else None,
        base_name=_base_name(model, store),
        evidence=evidence,
        evidence_digest=version.evidence_blob.digest_ if version.evidence_blob else None,
        pairs=pairs,
        approval=approval,
        registered_by=version.tags.get("nightshift.by", ""),
        licence=licence,
        cost=version.tags.get("nightshift.cost"),
        quantise=version.quantise if form == "merged" else None,
    )


def _base_name(model: Model, store: Store) -> str | None:
    """The recipe's name for the base model, which the training wrote into the adapter's config."""
    configs = [file for file in (model.adapter.files if model.adapter else ()) if file.path == "adapter_config.json"]
    if not configs:
        return None
    config = json.loads(store.open_path(configs[0].digest_).read_bytes())
    name = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name else None
