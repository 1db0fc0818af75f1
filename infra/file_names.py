"""Names of files that others give us (trees, archives, object keys): do they stay in the folder they are put into?"""

from collections.abc import Iterable
from pathlib import Path

_LONGEST = 1024  # bytes: what S3 takes as a key, and less than any file system of ours takes as a path


def refuse_file_name(name: str) -> str | None:
    """Why a relative path could leave the folder it is joined to, or be read in two ways; None if neither."""
    if not name:
        return "is empty"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "holds a control character"
    if "\\" in name:
        return "holds a backslash, which is a folder's end elsewhere"
    if name.startswith("/") or name[1:2] == ":":
        return "is absolute"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of its folder by '..'"
    if "" in parts or "." in parts:
        return "holds an empty part or '.', so one file has two names"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"is longer than {_LONGEST} bytes" if size > _LONGEST else None


def refuse_file_names(names: Iterable[str]) -> str | None:
    """What is wrong with the first bad name of a list, or with two that can't both be laid out; None if nothing is."""
    seen: dict[str, str] = {}
    for name in names:
        if (why := refuse_file_name(name)) is not None:
            return f"the file name {name!r:.200} {why}"
        # on macOS and Windows two names that differ in case are one file: the second would replace the first
        folded = name.casefold()
        if folded in seen:
            return f"the file name {name!r:.200} is there twice (as {seen[folded]!r:.200})"
        seen[folded] = name
    for folded, name in seen.items():
        parts = folded.split("/")
        for end in range(1, len(parts)):
            if (parent := "/".join(parts[:end])) in seen:
                return f"{seen[parent]!r:.200} is a file and the folder of {name!r:.200}"
    return None


def link_in_the_way(folder: Path, name: str) -> Path | None:
    """The first symbolic link on the way from ``folder`` to ``name``: a file would be written through it."""
    place = folder
    for part in name.split("/")[:-1]:
        place = place / part
        if place.is_symlink():
            return place
    return None
