"""The files under an audit: chains of ledgers and how far they went, permissions, and the objects of what serves."""

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from infra.digest import Digest, digest_of
from infra.errors import BadSetting, StoreError
from infra.ledger import TORN, Entry
from infra.registry_guard.journal import Head, broken, head_of, journal_path
from infra.registry_guard.roles import as_text, checked_roles, read_private, users_path, write_private
from infra.store import Blob, Store, Tree
from tasks.contracts import Evidence, Model
from tasks.errors import RegistryError
from tasks.parts import parts_of
from tasks.registry.client import ModelSeen
from tasks.registry.findings import Finding
from tasks.registry.state import Expected

_PRIVATE = ("users.json", "credentials.json", "keys.json", "auth.ini")
_SERVING = ("champion", "previous")


class Chain(NamedTuple):
    """One ledger: the guard's journal, or a recipe's."""

    path: Path
    lines: tuple[Entry, ...]  # each once, by its own number: moved and copied lines are among the problems
    problems: list[str]


Chains = Mapping[str, Chain]


def heads_path(home: Path) -> Path:
    """How far every ledger went when it was last audited."""
    return home / "guard" / "head.json"


def read_heads(home: Path) -> dict[str, Head]:
    """By ledger: ``registry``, ``ledger/NAME``.

    Raises:
        RegistryError: the file can't be read.
    """
    path = heads_path(home)
    try:
        return {key: Head(int(one["seq"]), str(one["digest"])) for key, one in read_private(path).items()}
    except (BadSetting, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"{path} can't be read: {error}",
            do="find out who changed it, then delete it: the next audit begins it anew",
        ) from error


def read_chains(home: Path) -> dict[str, Chain]:
    """The guard's journal as ``registry``, every recipe's ledger as ``ledger/NAME``, against the heads kept before."""
    found: list[str] = []
    try:
        heads = read_heads(home)
    except RegistryError as error:
        heads, found = {}, [error.what]
    keys = {f"ledger/{path.stem}" for path in (home / "ledger").glob("*.jsonl")} | set(heads) | {"registry"}
    chains = {}
    for key in sorted(keys):
        path = journal_path(home) if key == "registry" else home / f"{key}.jsonl"
        entries, problems = broken(path, heads.get(key))
        first = {entry.seq: entry for entry in reversed(entries)}
        chains[key] = Chain(path, tuple(first[seq] for seq in sorted(first)), problems)
    chains["registry"].problems.extend(found)
    return chains


def chain_findings(chains: Chains, expected: Expected, name: str) -> Iterator[Finding]:
    """Lines that were removed, edited, moved, copied or cut off, and ends that nobody asked for."""
    for key, chain in chains.items():
        model = key.removeprefix("ledger/") if key != "registry" else ""
        if model and name not in {"", model}:
            continue
        for sentence in chain.problems:
            yield _chain_finding(key, model, sentence, torn=sentence.endswith(TORN))
    for entry in expected.unasked:
        sentence = f"entry {entry.seq} says how request {entry.body.get('request')} ended, and no line asked for it"
        yield _chain_finding("registry", "", f"registry.jsonl: {sentence}", torn=False)


def _chain_finding(key: str, model: str, sentence: str, *, torn: bool) -> Finding:
    return Finding(
        kind="journal" if key == "registry" else "ledger",
        name=model,
        about=(key, sentence),
        what=sentence,
        do="nothing: the next line takes its place"
        if torn
        else "find out who changed it and put back a copy; nothing is approved or judged until then",
        severity="warning" if torn else "critical",
    )


def keep_heads(home: Path, chains: Chains, findings: tuple[Finding, ...], accepted: frozenset[str]) -> None:
    """Remember how far each whole ledger goes; where one isn't whole, only once a person accepted that."""
    open_ = {one.about[0] for one in findings if one.kind in {"journal", "ledger"} and one.id not in accepted}
    try:
        heads = read_heads(home)
    except RegistryError:
        return  # named as a finding; overwritten it would be lost
    for key, chain in chains.items():
        now = head_of(chain.lines)
        if now is not None and key not in open_:
            heads[key] = now
    write_private(heads_path(home), as_text({key: one._asdict() for key, one in sorted(heads.items())}))


# --- permissions ---


def open_files(home: Path, names: tuple[str, ...]) -> Iterator[Finding]:
    """Files of secrets and roles that others may read, and records that anybody may write."""
    for file in _PRIVATE:
        yield from _open(home / "guard" / file, stat.S_IRWXG | stat.S_IRWXO, "chmod 600 {}, and change what was in it")
    records = [home / "guard", home / "ledger", home / "serving", home / "incidents", journal_path(home)]
    records += [home / "ledger" / f"{name}.jsonl" for name in names]
    records += [home / "serving" / f"{name}.json" for name in names]
    for path in records:
        yield from _open(path, stat.S_IWOTH, "chmod o-w {}, and find out who wrote into it")
    try:
        checked_roles(json.loads(users_path(home).read_text()), users_path(home))
    except FileNotFoundError:
        return  # embedded: nobody logs in
    except (BadSetting, ValueError, AttributeError) as error:
        yield _file(users_path(home), "roles", f"the roles file {users_path(home)} is damaged: {error}", "mend it")


def _open(path: Path, bits: int, do: str) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if mode & bits:
        what = f"{path} is open to others (mode {stat.S_IMODE(mode):o})"
        yield _file(path, f"{stat.S_IMODE(mode):o}", what, do.format(path))


def _file(path: Path, about: str, what: str, do: str) -> Finding:
    return Finding(kind="files", name="", about=(path.name, about), what=what, do=do)


# --- what serves, in the store ---


def object_findings(name: str, seen: ModelSeen, store: Store) -> Iterator[Finding]:
    """Champion and previous: every object of their model and evidence hashed again."""
    checked: dict[Digest, str | None] = {}
    for alias in _SERVING:
        number = seen.aliases.get(alias)
        version = seen.versions.get(number) if number else None
        if number is None or version is None:
            continue
        bad = damaged_objects(version.tags, store, checked)
        if bad:
            more = f", and {len(bad) - 1} more objects" if len(bad) > 1 else ""
            yield Finding(
                kind="objects",
                name=name,
                about=(number, bad[0]),
                what=f"version {number} of {name} ({alias}) can't be served as it was judged: {bad[0]}{more}",
                do="restore the object from a copy, or roll back to a version that is whole",
            )


def damaged_objects(
    tags: Mapping[str, str], store: Store, checked: dict[Digest, str | None] | None = None
) -> list[str]:
    """A sentence for everything of a version that is missing or changed in the store.

    Args:
        checked: what was hashed before, so that it isn't hashed again.
    """
    known = {} if checked is None else checked
    return [problem for digest in _objects(tags, store) if (problem := _checked(digest, store, known))]


def _objects(tags: Mapping[str, str], store: Store) -> Iterator[Digest | str]:
    """Digests of all that a version's tags lead to; what can't be read comes as a sentence."""
    readers = {"nightshift.model_ref": Model, "nightshift.evidence": Evidence}
    for tag, kind in readers.items():
        if not tags.get(tag):
            continue
        try:
            found = kind.model_validate_json(store.read_bytes(Blob.model_validate_json(tags[tag])))
        except StoreError as error:
            yield error.what
            continue
        except ValidationError as error:
            yield f"its {tag} can't be read: {str(error).splitlines()[0]}"
            continue
        model = found if isinstance(found, Model) else found.model
        for tree in (model.base, *([model.adapter] if model.adapter else [])):
            yield from _tree(tree)
        if isinstance(found, Evidence):
            yield from (ref.card.digest_ for ref in found.cards)
            yield from _trained_on(found.trained_on, store)
            if found.portability is not None and found.portability.receipt is not None:
                yield found.portability.receipt.digest_


def _trained_on(lines: Blob, store: Store) -> Iterator[Digest | str]:
    yield lines.digest_
    try:
        yield from (part.digest_ for part in parts_of(lines, store))
    except StoreError as error:
        yield error.what


def _tree(tree: Tree) -> Iterator[Digest | str]:
    if digest_of(tree.files) != tree.digest_:
        yield f"the file list of {tree.digest_} was changed"
    yield from (file.digest_ for file in tree.files)


def _checked(digest: Digest | str, store: Store, known: dict[Digest, str | None]) -> str | None:
    """Why an object can't be trusted; each is read once."""
    if not digest.startswith("sha256:"):
        return digest
    if digest not in known:
        try:
            store.open_path(digest)
            known[digest] = None
        except StoreError as error:
            known[digest] = error.what
    return known[digest]
