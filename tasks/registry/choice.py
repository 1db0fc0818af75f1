"""Which registered version somebody means: an alias, a number, or the newest that awaits approval."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.store import Store
from tasks.contracts import Model
from tasks.errors import RegistryError
from tasks.registry.client import Registry, read_version

ALIASES = ("champion", "previous", "anchor")
CANDIDATE = "candidate"


class Known(NamedTuple):
    """What there is to choose from."""

    name: str
    tags: Mapping[int, Mapping[str, str]]  # of every version
    aliases: Mapping[str, int]


class Chosen(NamedTuple):
    """A version that somebody asked for as ``called``."""

    called: str
    version: int
    model: Model
    quantise: str | None  # GGUF type its weights serve in

    @property
    def title(self) -> str:
        known_by_number = self.called == str(self.version)
        return f"version {self.version}" if known_by_number else f"{self.called} (version {self.version})"


def choose(registry: Registry, wanted: Sequence[str], store: Store) -> list[Chosen]:
    """The versions that these words mean; one that is meant twice comes once.

    Raises:
        RegistryError: there is no such version, with those there are; or its tags contradict its files.
    """
    if not registry.exists():
        raise RegistryError(
            f"there is no registered model {registry.name!r}",
            do="name one with --name, or register the recipe's base model with `nightshift init`",
        )
    known = known_of(registry)
    numbers: dict[int, str] = {}
    for word in wanted:
        numbers.setdefault(number_of(word, known), word.strip())
    return [_chosen(called, registry, known, number, store) for number, called in numbers.items()]


def _chosen(called: str, registry: Registry, known: Known, number: int, store: Store) -> Chosen:
    quantise = known.tags[number].get("nightshift.quantise") or None
    return Chosen(called, number, read_version(registry, number, store).model, quantise)


def known_of(registry: Registry) -> Known:
    """All versions of a registered model, and where its aliases point."""
    places = {alias: registry.alias(alias) for alias in ALIASES}
    return Known(
        registry.name,
        {int(version.version): version.tags for version in registry.versions()},
        {alias: number for alias, number in places.items() if number is not None},
    )


def number_of(word: str, known: Known) -> int:
    """The version a word means: an alias, ``candidate``, or a number.

    Raises:
        RegistryError: says which versions there are.
    """
    word = word.strip()
    if word == CANDIDATE:
        number = newest_awaiting(known.tags)
        if number is None:
            raise RegistryError(f"no version of {known.name} awaits approval; {there_are(known)}", do=_DO)
        return number
    if word in ALIASES:
        if word not in known.aliases:
            raise RegistryError(f"{known.name} has no {word}: the alias isn't set; {there_are(known)}", do=_DO)
        return known.aliases[word]
    if not word.isascii() or not word.isdigit():
        raise RegistryError(f"{word!r} is neither a version nor one of {', '.join((*ALIASES, CANDIDATE))}", do=_DO)
    if int(word) not in known.tags:
        raise RegistryError(f"{known.name} has no version {word}; {there_are(known)}", do=_DO)
    return int(word)


_DO = "name one of these by its number or alias"


def newest_awaiting(tags: Mapping[int, Mapping[str, str]]) -> int | None:
    """The newest candidate whose approval was requested and not decided on."""
    waiting = (
        number
        for number, one in tags.items()
        if one.get("nightshift.role") == "candidate" and one.get("approval") == "requested"
    )
    return max(waiting, default=None)


def there_are(known: Known) -> str:
    """All versions with what they are, in words."""
    if not known.tags:
        return "there is no version yet"
    return "there are " + ", ".join(f"{number} ({_what(number, known)})" for number in sorted(known.tags))


def _what(number: int, known: Known) -> str:
    tags = known.tags[number]
    aliases = [alias for alias, target in known.aliases.items() if target == number]
    state = tags.get("approval", "").partition(":")[0]
    parts = [*aliases, tags.get("nightshift.verdict") or tags.get("nightshift.role", "not ours"), state]
    return ", ".join(part for part in parts if part)
