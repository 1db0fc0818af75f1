"""Files that are whole and there after a power cut, and files only their owner may read."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import BadSetting


def sync_folder(folder: Path) -> None:
    """A new name is there after a power cut only once its folder is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_text(path: Path) -> str | None:
    """A file that nobody else may read or write; None where there is none.

    Raises:
        BadSetting: others may open it, or it isn't text.
    """
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise BadSetting(
                    f"{path} is open to others (mode {stat.S_IMODE(mode):o})",
                    do=f"chmod 600 {path}, and change what was in it if others may have read it",
                )
            return file.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise BadSetting(f"{path} can't be read: {error}", do="put back a copy of it") from None


def write_whole(path: Path, text: str) -> None:
    """Write or replace a file that others may read: whole or not at all, and there after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path, text) as temporary:
        temporary.chmod(0o644)
        temporary.replace(path)
    sync_folder(path.parent)


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never open to others, not even for a moment."""
    with _private(path, text) as temporary:
        temporary.replace(path)


def create_private(path: Path, text: str) -> bool:
    """``write_private`` where there is no such file yet; False, and nothing changed, where there is one."""
    with _private(path, text) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    sync_folder(path.parent)
    return True


@contextmanager
def _private(path: Path, text: str) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _beside(path, text) as temporary:
        yield temporary


@contextmanager
def _beside(path: Path, text: str) -> Iterator[Path]:
    """The whole file under another name beside it, on disk, made with mode 0600, gone at the end."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)  # gone already where it took the other's place
