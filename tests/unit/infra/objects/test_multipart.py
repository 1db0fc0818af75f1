"""A large file to a real S3 server in parts: killed anywhere it goes on, and sends no finished part twice."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_bytes, digest_file
from infra.errors import ObjectConflict, ObjectError
from infra.objects import put_once
from infra.objects.multipart import parts_of, whole_etag
from infra.objects.s3 import S3Objects
from infra.settings import ROOT, child_environment, load_settings
from tests.s3 import S3

slow = pytest.mark.slow

MIB = 1 << 20
PART = 5 * MIB  # the smallest S3 takes
PARTS = 7


@given(st.integers(1, 60 << 40), st.integers(PART, 64 * MIB))
def test_parts_cover_every_byte_once_and_are_never_more_than_s3_takes(size: int, part_bytes: int) -> None:
    parts = parts_of(size, part_bytes)
    assert len(parts) <= 10_000
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert parts[0].offset == 0
    assert all(one.offset + one.size == other.offset for one, other in pairwise(parts))
    assert parts[-1].offset + parts[-1].size == size
    assert all(part.size >= part_bytes for part in parts[:-1])
    assert parts[-1].size > 0


@pytest.fixture
def objects(s3: S3, s3_url: str) -> S3Objects:
    return S3Objects(s3.bucket, s3_url.rpartition("/")[2], s3.endpoint, PART)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    path.write_bytes(random.Random(5).randbytes((PARTS - 1) * PART + 12_345))
    return path


class Seen(Counter[str]):
    """Requests by operation; every part by its number too."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: set[int] = set()  # parts that the server said it has


def counted(objects: S3Objects) -> Seen:
    """What is requested from now on."""
    seen = Seen()

    def count(model: Any, params: dict[str, Any], **_: Any) -> None:
        seen[model.name] += 1
        if model.name == "UploadPart":
            seen[f"part {params['query_string']['partNumber']}"] += 1

    def listed(parsed: dict[str, Any], **_: Any) -> None:
        seen.listed |= {part["PartNumber"] for part in parsed.get("Parts", [])}

    objects.client.meta.events.register("before-call.s3", count)
    objects.client.meta.events.register("after-call.s3.ListParts", listed)
    return seen


def uploads(s3: S3, objects: S3Objects) -> dict[str, set[int]]:
    """Uploads that never ended, with the numbers of the parts the server has."""
    client = s3.client()
    found = client.list_multipart_uploads(Bucket=s3.bucket, Prefix=objects.prefix).get("Uploads", [])
    return {
        one["UploadId"]: {
            part["PartNumber"]
            for part in client.list_parts(Bucket=s3.bucket, Key=one["Key"], UploadId=one["UploadId"]).get("Parts", [])
        }
        for one in found
    }


@slow
def test_a_large_file_arrives_whole_in_parts_and_leaves_no_upload_behind(
    s3: S3, objects: S3Objects, model: Path
) -> None:
    seen = counted(objects)
    etag = objects.put_file("model", model, absent=True, media="application/x-safetensors")
    assert seen["UploadPart"] == PARTS
    assert objects.head("model") == (model.stat().st_size, etag)
    assert objects.digest("model") == digest_file(model)
    assert (
        s3.client().head_object(Bucket=s3.bucket, Key=f"{objects.prefix}model")["ContentType"].endswith("safetensors")
    )
    assert uploads(s3, objects) == {}


KILLED = """
import os, signal, sys, threading
from infra.objects.s3 import S3Objects
from pathlib import Path

bucket, prefix, endpoint, part_bytes, path, operation, count = sys.argv[1:]
objects = S3Objects(bucket, prefix, endpoint, int(part_bytes))
lock, done = threading.Lock(), []


def kill(**_):
    with lock:
        done.append(1)
        if len(done) >= int(count):
            os.kill(os.getpid(), signal.SIGKILL)


objects.client.meta.events.register(f"after-call.s3.{operation}", kill)
objects.put_file("model", Path(path), absent=True)
"""


def kill_after(objects: S3Objects, model: Path, operation: str, count: int = 1) -> None:
    """Send the file in a process that is killed when the server has answered so many requests of this kind."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, objects.bucket, objects.prefix.rstrip("/"), objects.client.meta.endpoint_url,
         str(PART), str(model), operation, str(count)],
        cwd=ROOT, env=child_environment(load_settings()), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


@slow
@pytest.mark.parametrize(
    ("operation", "count", "least"),
    [
        ("ListMultipartUploads", 1, 0),
        ("CreateMultipartUpload", 1, 0),
        ("UploadPart", 1, 1),
        ("UploadPart", 4, 4),
        ("UploadPart", PARTS, PARTS),
    ],
)
def test_an_upload_killed_anywhere_goes_on_and_sends_no_finished_part_twice(
    s3: S3, objects: S3Objects, model: Path, operation: str, count: int, least: int
) -> None:
    kill_after(objects, model, operation, count)
    assert objects.get("model") is None
    there = set[int]().union(*uploads(s3, objects).values())
    assert len(there) >= least
    seen = counted(objects)
    etag = objects.put_file("model", model, absent=True)
    sent = {number for number in range(1, PARTS + 1) if seen[f"part {number}"]}
    # parts that were under way when the process was killed may arrive still
    assert seen.listed >= there
    assert sent == set(range(1, PARTS + 1)) - seen.listed
    assert seen["UploadPart"] == len(sent)
    assert (objects.digest("model"), objects.head("model")) == (digest_file(model), (model.stat().st_size, etag))


@slow
def test_an_upload_killed_twice_goes_on_twice(s3: S3, objects: S3Objects, model: Path) -> None:
    kill_after(objects, model, "UploadPart", 2)
    kill_after(objects, model, "UploadPart", 2)
    (there,) = uploads(s3, objects).values()
    assert len(there) >= 4
    seen = counted(objects)
    objects.put_file("model", model)
    assert seen.listed >= there
    assert seen["UploadPart"] == PARTS - len(seen.listed)
    assert objects.digest("model") == digest_file(model)


@slow
def test_an_upload_killed_after_its_last_request_is_found_done(s3: S3, objects: S3Objects, model: Path) -> None:
    kill_after(objects, model, "CompleteMultipartUpload")
    seen = counted(objects)
    with pytest.raises(ObjectConflict):
        objects.put_file("model", model, absent=True)
    assert seen["UploadPart"] == seen["CreateMultipartUpload"] == 0
    assert put_once(objects, "model", model) == digest_file(model)
    assert uploads(s3, objects) == {}


@slow
def test_the_rest_of_another_file_is_not_mixed_in(s3: S3, objects: S3Objects, model: Path, tmp_path: Path) -> None:
    kill_after(objects, model, "UploadPart", 3)
    left = uploads(s3, objects)
    other = tmp_path / "other"
    data = bytearray(model.read_bytes())
    for part in range(PARTS):
        data[part * PART] ^= 1
    other.write_bytes(data)
    seen = counted(objects)
    objects.put_file("model", other)
    assert seen["UploadPart"] == PARTS
    assert objects.digest("model") == digest_bytes(bytes(data))
    assert uploads(s3, objects).keys() == left.keys()


@slow
def test_a_part_that_differs_in_one_byte_is_not_gone_on_with(
    s3: S3, objects: S3Objects, model: Path, tmp_path: Path
) -> None:
    kill_after(objects, model, "UploadPart", PARTS)
    other = tmp_path / "other"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    objects.put_file("model", other)
    assert objects.digest("model") == digest_bytes(bytes(data))


@slow
def test_an_upload_under_a_longer_name_is_another_ones(s3: S3, objects: S3Objects, model: Path) -> None:
    client = s3.client()
    place = {"Bucket": s3.bucket, "Key": f"{objects.prefix}model-2"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    client.upload_part(**place, UploadId=upload, PartNumber=1, Body=model.read_bytes()[:PART])
    seen = counted(objects)
    objects.put_file("model", model)
    assert (seen["UploadPart"], seen["ListParts"]) == (PARTS, 0)
    assert uploads(s3, objects) == {upload: {1}}


@slow
def test_a_name_taken_while_the_parts_were_sent_is_a_conflict_and_nothing_is_replaced(
    s3: S3, objects: S3Objects, model: Path
) -> None:
    def take(**_: Any) -> None:
        s3.client().put_object(Bucket=s3.bucket, Key=f"{objects.prefix}model", Body=b"theirs")

    objects.client.meta.events.register("before-call.s3.CompleteMultipartUpload", take)
    with pytest.raises(ObjectConflict, match="model is there with etag"):
        objects.put_file("model", model, absent=True)
    held = objects.get("model")
    assert held is not None
    assert held.data == b"theirs"
    assert uploads(s3, objects) == {}


@slow
def test_a_large_file_is_not_sent_where_its_name_is_taken(objects: S3Objects, model: Path) -> None:
    objects.put("model", b"theirs")
    seen = counted(objects)
    with pytest.raises(ObjectConflict):
        objects.put_file("model", model, absent=True)
    assert seen["UploadPart"] == 0


@slow
def test_an_end_whose_answer_was_lost_is_no_conflict(objects: S3Objects, model: Path) -> None:
    sent: list[int] = []

    def again(**_: Any) -> float | None:
        sent.append(1)
        return 0.0 if len(sent) == 1 else None

    objects.client.meta.events.register_first("needs-retry.s3.CompleteMultipartUpload", again)
    etag = objects.put_file("model", model, absent=True)
    assert len(sent) == 2
    assert objects.head("model") == (model.stat().st_size, etag)


@slow
def test_a_file_that_changes_while_it_is_sent_is_refused_and_leaves_nothing(
    s3: S3, objects: S3Objects, model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(model.read_bytes())
    once = threading.Event()

    def grow(**_: Any) -> None:
        if not once.is_set():
            once.set()
            with other.open("ab") as file:
                file.write(b"more")

    objects.client.meta.events.register("before-call.s3.UploadPart", grow)
    with pytest.raises(ObjectError, match="other changed while it was sent"):
        objects.put_file("model", other)
    assert objects.get("model") is None
    assert uploads(s3, objects) == {}


@slow
def test_an_upload_that_another_process_ended_is_a_conflict_where_the_object_is_there(
    s3: S3, objects: S3Objects, model: Path
) -> None:
    def end(**_: Any) -> None:
        for upload in uploads(s3, objects):
            s3.client().abort_multipart_upload(Bucket=s3.bucket, Key=f"{objects.prefix}model", UploadId=upload)
        s3.client().put_object(Bucket=s3.bucket, Key=f"{objects.prefix}model", Body=b"theirs")

    objects.client.meta.events.register("before-call.s3.UploadPart", end)
    with pytest.raises(ObjectConflict, match="model is there with etag"):
        objects.put_file("model", model, absent=True)
    with pytest.raises(ObjectError, match="the upload was ended by somebody else"):
        objects.put_file("model", model)


@slow
def test_two_at_once_send_one_file_whole(objects: S3Objects, model: Path, s3: S3) -> None:
    threads = [threading.Thread(target=put_once, args=(objects, "model", model)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert objects.digest("model") == digest_file(model)
    assert uploads(s3, objects) == {}


@slow
def test_the_etag_we_expect_of_an_object_in_parts_is_the_servers(objects: S3Objects, model: Path) -> None:
    data = model.read_bytes()
    etags = [hashlib.md5(data[part * PART : (part + 1) * PART]).hexdigest() for part in range(PARTS)]
    assert objects.put_file("model", model) == whole_etag(etags)
