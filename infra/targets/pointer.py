"""A pointer as a small JSON object in a folder or under an S3 prefix, which a server or its sidecar watches."""

from pydantic import Field

from infra.errors import NightshiftError, TargetError
from infra.objects import ObjectConflict, Objects, open_objects
from infra.settings import load_settings
from infra.targets.base import Pointer, Target, read_pointer, refuse_other


class PointerTarget(Target):
    """Writes the pointer by compare-and-swap: of two that move it at once, one is refused."""

    _block_type_name = "Nightshift pointer target"
    _block_type_slug = "nightshift-pointer"
    _description = "A JSON object in a folder or on S3 that says what shall serve; a server watches it."

    url: str = Field(min_length=1, description="A folder, or s3://bucket/prefix.")
    file: str = Field(default="pointer.json", min_length=1, description="The object's name there.")

    def check(self) -> list[str]:
        problems = self.endpoint_problems()
        try:
            self.points_to()
        except NightshiftError as error:
            problems.append(error.what)
        return problems

    def point(self, to: Pointer) -> None:
        objects = self._objects()
        held = objects.get(self.file)
        before = read_pointer(held.data, self._where) if held is not None else None
        refuse_other(to.name, before, self._where)
        if to.same(before):
            return
        data = (to.model_dump_json(indent=1) + "\n").encode()
        try:
            if held is None:
                objects.put(self.file, data, absent=True, media="application/json")
            else:
                objects.put(self.file, data, match=held.etag, media="application/json")
        except ObjectConflict as error:
            raise TargetError(
                f"{self._where} was moved by somebody else while it was pointed to {to.words}: {error.what}",
                do="find out who moves it beside Nightshift; then promote or roll back again",
            ) from error

    def points_to(self) -> Pointer | None:
        held = self._objects().get(self.file)
        return read_pointer(held.data, self._where) if held is not None else None

    @property
    def _where(self) -> str:
        return f"{self.url.rstrip('/')}/{self.file}"

    def _objects(self) -> Objects:
        return open_objects(self.url, load_settings())
