"""The serving manifest against journal and ledger: what serves must be the champion that a line put there."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from infra.ledger import Entry
from infra.store import Blob
from tasks.registry.findings import Finding
from tasks.registry.manifest import Manifest
from tasks.registry.state import Expected, ModelState, VersionState

_WRITE_ANEW = "find out who wrote it; `nightshift rollback`, or promoting again, writes it anew"


def manifest_findings(
    name: str, expected: Expected, manifest: Manifest | str | None, ledger: Sequence[Entry]
) -> Iterator[Finding]:
    """Where the manifest isn't what the last move of `champion` wrote.

    Args:
        manifest: why it can't be read, where it can't.
    """
    model = expected.models.get(name, ModelState())
    champion = model.aliases.get("champion")
    if isinstance(manifest, str):
        yield _finding(name, "unreadable", manifest, manifest)
        return
    if manifest is None:
        moved = [one for one in expected.moves.get(name, []) if one.alias == "champion" and one.sure and one.was]
        if moved:
            what = (
                f"{name} has no serving manifest, and champion moved to version {moved[-1].to} at {moved[-1].line.at}"
            )
            yield _finding(name, "missing", str(moved[-1].line.seq), what).model_copy(
                update={"kind": "manifest-missing"}
            )
        return
    if manifest.name != name:
        yield _finding(name, "name", manifest.name, f"the manifest of {name} is about {manifest.name}")
    if champion is not None and str(manifest.version) not in champion.values:
        served = " or ".join(str(one) for one in champion.values)
        what = (
            f"the manifest of {name} serves version {manifest.version}, and the journal's champion is version {served}"
        )
        yield _finding(name, "version", f"{manifest.version}/{served}/{champion.seq}", f"{what} (entry {champion.seq})")
    version = model.versions.get(str(manifest.version))
    if version is not None:
        yield from _bound_to_tags(name, manifest, version)
    yield from _bound_to_line(name, manifest, ledger)
    strangers = {one.version for one in manifest.traffic} - {manifest.version, _previous(manifest)}
    if strangers:
        what = f"the manifest of {name} gives traffic to version {', '.join(map(str, sorted(strangers)))}"
        yield _finding(name, "traffic", str(sorted(strangers)), f"{what}, which is neither champion nor previous")


def _bound_to_tags(name: str, manifest: Manifest, version: VersionState) -> Iterator[Finding]:
    """The version's own tags are write-once, so what the manifest copied from them stays true."""
    claims = {
        "nightshift.model": (manifest.model, str),
        "nightshift.model_ref": (manifest.model_ref, Blob.model_validate_json),
        "nightshift.evidence": (manifest.evidence, Blob.model_validate_json),
        "nightshift.verdict": (manifest.verdict, str),
    }
    for tag, (claim, read) in claims.items():
        slot = version.tags.get(tag)
        allowed = [] if slot is None else [one for one in slot.values if one is not None]
        try:
            said = [read(one) for one in allowed] or [None]
        except ValidationError:
            said = allowed
        if claim not in said and (slot is not None or version.line is not None):
            what = f"the manifest of {name} says {tag.removeprefix('nightshift.')} {_short(claim)}"
            yield _finding(
                name, tag, _short(claim), f"{what}, version {manifest.version} in the journal {_short(said[0])}"
            )


def _bound_to_line(name: str, manifest: Manifest, ledger: Sequence[Entry]) -> Iterator[Finding]:
    if manifest.ledger is None:
        return
    about = f"line {manifest.ledger.seq} of the ledger"
    line = next((one for one in ledger if one.seq == manifest.ledger.seq), None)
    if line is None or line.digest != manifest.ledger.digest_:
        what = f"the manifest of {name} names {about} with digest {manifest.ledger.digest_}"
        yield _finding(
            name, "ledger", manifest.ledger.digest_, f"{what}, and there is {line.digest if line else 'none'}"
        )
        return
    claims = {"kind": (manifest.move, line.kind), "version": (manifest.version, line.body.get("version"))}
    if "by" in line.body:
        claims["by"] = (manifest.by, line.body["by"])
    for key, (claim, said) in claims.items():
        if claim != said:
            what = f"the manifest of {name} says {key} {claim!r}, {about} {said!r}"
            yield _finding(name, f"line {key}", f"{manifest.ledger.seq} {claim}", what)


def _previous(manifest: Manifest) -> int:
    return manifest.previous.version if manifest.previous else manifest.version


def _short(value: object) -> str:
    return value.digest_ if isinstance(value, Blob) else str(value)


def _finding(name: str, what_about: str, value: str, what: str) -> Finding:
    return Finding(kind="manifest", name=name, about=(what_about, value), what=what, do=_WRITE_ANEW)
