"""What tests of exports share: a registry whose versions have a model's files, and a place that dies at a write."""

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.ledger import append, ledger_path
from infra.objects import Objects
from tasks.contracts import Model
from tasks.registry.export import Exported, export_version
from tasks.registry.export_check import public_key, read_statement
from tasks.registry.export_files import EVIDENCE, MANIFEST, README, SIGNED
from tests.registry_world import World


def safetensors(numbers: bytes = b"\0" * 8) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, len(numbers)]}}).encode()
    return struct.pack("<Q", len(header)) + header + numbers


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
        self.approve()
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


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def statement_in(folder: Path, shop: Shop) -> dict[str, Any]:
    return read_statement((folder / SIGNED).read_bytes(), shop.key)


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
