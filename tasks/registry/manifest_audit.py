"""The serving manifest against journal and ledger: what serves must be the champion that a line put there."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from infra.ledger import Entry
from infra.store import Blob
from tasks.registry.findings import Finding
from tasks.registry.manifest import Manifest
from tasks.registry.state import Expected, ModelState, Slot, VersionState

_WRITE_ANEW = "find out who wrote it; `nightshift rollback`, or promoting again, writes it anew"


def manifest_findings(
    name: str, expected: Expected, manifest: Manifest | str | None, ledger: Sequence[Entry]
) -> Iterator[Finding]:
    """Where the manifest isn't what the last move of `champion` wrote.

    Args:
        manifest: why it can't be read, where it can't.
    """
    model = expected.models.get(name, ModelState())
    if isinstance(manifest, str):
        yield _finding(name, "unreadable", manifest, manifest)
    elif manifest is None:
        yield from _missing(name, expected)
    else:
        yield from _serves_champion(name, manifest, model.aliases.get("champion"), ledger)
        if (version := model.versions.get(str(manifest.version))) is not None:
            yield from _bound_to_tags(name, manifest, version)
        yield from _bound_to_line(name, manifest, ledger)
        yield from _whole_traffic(name, manifest)


def _missing(name: str, expected: Expected) -> Iterator[Finding]:
    moves = [one for one in expected.moves.get(name, []) if one.alias == "champion" and one.sure and one.was]
    if moves:
        last = moves[-1]
        what = f"{name} has no serving manifest, and champion moved to version {last.to} at {last.line.at}"
        yield _finding(name, "missing", str(last.line.seq), what).model_copy(update={"kind": "manifest-missing"})


def _serves_champion(
    name: str, manifest: Manifest, champion: Slot | None, ledger: Sequence[Entry]
) -> Iterator[Finding]:
    if manifest.name != name:
        yield _finding(name, "name", manifest.name, f"the manifest of {name} is about {manifest.name}")
    if champion is None or str(manifest.version) in champion.values:
        return
    served = " or ".join(str(one) for one in champion.values)
    what = f"the manifest of {name} serves version {manifest.version}, and the journal's champion is version {served}"
    found = _finding(name, "version", f"{manifest.version}/{served}/{champion.seq}", f"{what} (entry {champion.seq})")
    if _is_behind(manifest, champion, ledger):
        do = "a crash stopped the last move before its manifest was written: the next promotion or rollback finishes it"
        found = found.model_copy(update={"severity": "warning", "do": do})
    yield found


def _is_behind(manifest: Manifest, champion: Slot, ledger: Sequence[Entry]) -> bool:
    """Whether it is the whole manifest of the move before the last one, which got as far as the alias."""
    moves = [one for one in ledger if one.kind in {"promotion", "rollback"}]
    if not moves or str(moves[-1].body.get("version")) not in champion.values:
        return False
    if manifest.ledger is None:
        return len(moves) == 1 and manifest.move == "init"
    return len(moves) > 1 and manifest.ledger.digest_ == moves[-2].digest and not _line_problems(manifest, moves[-2])


def _whole_traffic(name: str, manifest: Manifest) -> Iterator[Finding]:
    previous = manifest.previous.version if manifest.previous else manifest.version
    strangers = sorted({one.version for one in manifest.traffic} - {manifest.version, previous})
    if strangers:
        what = f"the manifest of {name} gives traffic to version {', '.join(map(str, strangers))}"
        yield _finding(name, "traffic", str(strangers), f"{what}, which is neither champion nor previous")


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
    artefact = version.tags.get("nightshift.artefact")
    if manifest.artefact is not None and manifest.artefact not in (artefact.values if artefact else ()):
        what = f"the manifest of {name} serves {manifest.artefact}"
        yield _finding(name, "artefact", manifest.artefact, f"{what}, which no line of the journal says was exported")


def _bound_to_line(name: str, manifest: Manifest, ledger: Sequence[Entry]) -> Iterator[Finding]:
    if manifest.ledger is None:
        if manifest.move != "init":
            what = f"the manifest of {name} names no line of the ledger about its {manifest.move}"
            yield _finding(name, "ledger", "", what)
        return
    about = f"line {manifest.ledger.seq} of the ledger"
    line = next((one for one in ledger if one.seq == manifest.ledger.seq), None)
    if line is None or line.digest != manifest.ledger.digest_:
        what = f"the manifest of {name} names {about} with digest {manifest.ledger.digest_}"
        yield _finding(
            name, "ledger", manifest.ledger.digest_, f"{what}, and there is {line.digest if line else 'none'}"
        )
        return
    for key, claim, said in _line_problems(manifest, line):
        what = f"the manifest of {name} says {key} {claim!r}, {about} {said!r}"
        yield _finding(name, f"line {key}", f"{manifest.ledger.seq} {claim}", what)


def _line_problems(manifest: Manifest, line: Entry) -> list[tuple[str, object, object]]:
    claims = {"kind": (manifest.move, line.kind), "version": (manifest.version, line.body.get("version"))}
    if "by" in line.body:
        claims["by"] = (manifest.by, line.body["by"])
    return [(key, claim, said) for key, (claim, said) in claims.items() if claim != said]


def _short(value: object) -> str:
    return value.digest_ if isinstance(value, Blob) else str(value)


def _finding(name: str, what_about: str, value: str, what: str) -> Finding:
    return Finding(kind="manifest", name=name, about=(what_about, value), what=what, do=_WRITE_ANEW)
