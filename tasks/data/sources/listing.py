"""What a source holds: a file, a folder, a glob, or a prefix or glob on S3, as a sorted list of objects."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.errors import ObjectError
from infra.objects import bucket_and_key
from infra.settings import Settings
from tasks.data.sources.objects import CODECS, SourceObject, bare_name, endings
from tasks.data_spec import SourceSpec
from tasks.errors import SourceError

_WILD = re.compile(r"[*?\[]")

# names that writers give to what isn't finished
_UNFINISHED = re.compile(r"(^|/)(\.|_temporary/)")


def list_objects(spec: SourceSpec, root: Path, settings: Settings) -> list[SourceObject]:
    """The source's objects, sorted by name. Files below a name that begins with a dot are none.

    An object that may not be read (a link that leaves the folder, a name that is no text) is in the list, ``refused``.

    Args:
        root: what a relative path is relative to.

    Raises:
        SourceError: the place doesn't exist, can't be read, or holds nothing of a known form.
    """
    known = endings(spec.kind)
    if spec.path.startswith("s3://"):
        found = _on_s3(spec.path, known, settings)
    else:
        path = Path(spec.path).expanduser()
        try:
            found = _local(spec.path, path if path.is_absolute() else root / path, known)
        except OSError as error:
            raise SourceError(
                f"the source {spec.path} can't be read: {error.strerror or error}",
                do="check the path and its permissions",
            ) from error
    if not found:
        raise SourceError(
            f"the source {spec.path} holds nothing that ends in {_said(known)}",
            do="put the day's records there, or correct `sources` in the recipe",
        )
    return sorted(found, key=lambda one: one.name)


def fresh(obj: SourceObject, settings: Settings) -> SourceObject:
    """The same object as it is now.

    Raises:
        SourceError: it is gone.
    """
    if obj.on_s3:
        from infra.objects.foreign import stat_foreign

        try:
            bucket, key = bucket_and_key(obj.url)
            now = stat_foreign(bucket, key, settings.s3_endpoint)
        except ObjectError as error:
            raise SourceError(error.what, do=error.do) from error
        if now is not None:
            return obj._replace(size=now.size, version=now.etag)
    else:
        now = _file(obj.name, obj.url, obj.within)
        if now is not None:
            return now
    raise SourceError(f"{obj.url} was removed while the night read it", do="start the night again without it")


def _local(given: str, path: Path, known: tuple[str, ...]) -> list[SourceObject]:
    if _WILD.search(given) and not path.exists():
        return _glob(given, path, known)
    if path.is_dir():
        return list(_walk(path, known))
    if not path.exists():
        raise SourceError(
            f"the source {given} doesn't exist (looked at {path})",
            do="mend `sources` in the recipe, or --set sources=PATH",
        )
    if not _fits(path.name, known):
        raise SourceError(f"the source {given} has an ending that is none of {_said(known)}", do="rename or convert it")
    found = _file(path.name, str(path.absolute()), "")
    if found is None:
        raise SourceError(f"the source {given} is no regular file", do="name a file, a folder, a glob or `s3://…`")
    return [found]


def _glob(given: str, path: Path, known: tuple[str, ...]) -> list[SourceObject]:
    parts = path.parts
    own = len(Path(given).expanduser().parts)  # what is before these is the root's, and taken as it stands
    wild = next(i for i, part in enumerate(parts) if i >= len(parts) - own and _WILD.search(part))
    base, pattern = Path(*parts[:wild]), parts[wild:]
    if ".." in pattern:
        raise SourceError(
            f"the source {given} leaves its folder by `..`", do="write the path without `..` after a wildcard"
        )
    if not base.is_dir():
        raise SourceError(f"the source {given} begins in {base}, which is no folder", do="mend `sources` in the recipe")
    matches = _pattern(pattern)
    return [one for one in _walk(base, known) if matches.fullmatch(one.name)]


def _walk(base: Path, known: tuple[str, ...]) -> Iterator[SourceObject]:
    """Files of a known form below a folder. No link to a folder is followed; one that leads out of it is refused."""
    within = os.path.realpath(base)
    folders = [("", str(base.absolute()))]
    while folders:
        prefix, folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as error:
            raise SourceError(
                f"the folder {folder} can't be read: {error.strerror or error}", do="check its permissions"
            ) from error
        for entry in inside:
            name = prefix + entry.name
            if _UNFINISHED.search(name + "/" * entry.is_dir(follow_symlinks=False)):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((name + "/", entry.path))
            elif _leads_to_folder(entry):
                if not _inside(entry.path, within):
                    yield _refused(name, entry.path, within, "a link that leads out of the source's folder")
            elif _fits(name, known) and (found := _file(name, entry.path, within)) is not None:
                yield found


def _file(name: str, path: str, within: str) -> SourceObject | None:
    """A regular file as it is now; None where it is gone or none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode()
        return _refused(shown, path.encode("utf-8", "backslashreplace").decode(), within, "its name is no UTF-8")
    try:
        found = os.stat(path)
    except OSError as error:
        if within and os.path.islink(path):
            return _refused(name, path, within, "a link that leads nowhere")
        if isinstance(error, FileNotFoundError):
            return None
        raise SourceError(f"{path} can't be read: {error.strerror or error}", do="check its permissions") from error
    if within and not _inside(path, within):
        return _refused(name, path, within, "a link that leads out of the source's folder")
    if not stat.S_ISREG(found.st_mode):
        return None
    return SourceObject(name, path, found.st_size, "", found.st_mtime_ns, found.st_ino, within)


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _inside(path: str, within: str) -> bool:
    # folders are never entered by a link, so only a link itself can lead out
    if not os.path.islink(path):
        return True
    target = os.path.realpath(path)
    return target == within or target.startswith(within.rstrip("/") + "/")


def _refused(name: str, path: str, within: str, why: str) -> SourceObject:
    return SourceObject(name, path, 0, within=within, refused=why)


def _on_s3(given: str, known: tuple[str, ...], settings: Settings) -> list[SourceObject]:
    from infra.objects.foreign import list_foreign

    try:
        bucket, rest = bucket_and_key(given)
        base, begin, fits = _asked(rest, known)
        listed = list_foreign(bucket, begin, settings.s3_endpoint)
    except ObjectError as error:
        raise SourceError(f"the source {given} can't be read: {error.what}", do=error.do) from error
    return [
        SourceObject(
            name,
            f"s3://{bucket}/{one.key}",
            one.size,
            one.etag,
            refused="its name holds `..`" if ".." in name.split("/") else "",
        )
        for one in listed
        if one.key.startswith(base)
        and fits(name := one.key[len(base) :])
        and _fits(name, known)
        and (".." in name.split("/") or not _UNFINISHED.search(name))
    ]


def _asked(rest: str, known: tuple[str, ...]) -> tuple[str, str, Callable[[str], object]]:
    """What names are relative to, how the keys begin that are listed, and which names are meant."""
    wild = _WILD.search(rest)
    base = rest[: rest.rfind("/", 0, wild.start() if wild else len(rest)) + 1]
    if wild:
        return base, rest[: wild.start()], _pattern(tuple(rest[len(base) :].split("/"))).fullmatch
    if _fits(rest, known):
        return base, rest, rest[len(base) :].__eq__
    base = rest.rstrip("/") + "/" if rest else ""
    return base, base, lambda _: True


def _fits(name: str, known: tuple[str, ...]) -> bool:
    return bare_name(name).endswith(known)


def _said(known: tuple[str, ...]) -> str:
    return f"{', '.join(known)} (or these with {' or '.join(CODECS)})"


def _pattern(parts: tuple[str, ...]) -> re.Pattern[str]:
    """A glob as a pattern of names: ``*``, ``?``, ``[…]`` within a part, ``**`` over parts; a folder is all in it."""
    made = "".join("(?:[^/]+/)*" if part == "**" else _part(part) + "/" for part in parts)
    return re.compile(made.removesuffix("/") + "(?:/.*)?" if parts[-1] != "**" else made + ".*", re.DOTALL)


def _part(part: str) -> str:
    made, rest = "", part
    while rest:
        group = re.match(r"\[(!?)([^/\]]+)\]", rest)
        if rest[0] == "*":
            made, rest = made + "[^/]*", rest[1:]
        elif rest[0] == "?":
            made, rest = made + "[^/]", rest[1:]
        elif group:
            inner = group[2].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
            made, rest = made + f"[{'^' if group[1] else ''}{inner}]", rest[group.end() :]
        else:
            made, rest = made + re.escape(rest[0]), rest[1:]
    return made
