"""What tonight's data is compared with: the last snapshot that passed, and the same one where a night is replayed."""

from pathlib import Path

import pytest

from infra.digest import digest_of
from infra.store import Blob
from tasks.contracts import Shard, Snapshot, SourceFile
from tasks.data.accepted import accept, accepted_file, baseline
from tasks.data.drift import Marginals


def snapshot(name: str, rows: int) -> Snapshot:
    file = SourceFile(source="exports", kind="pairs", url=f"/{name}", name=name, version=name, size=1, rows=rows)
    return Snapshot(
        shards=(Shard(rows=Blob(digest_=digest_of(name), size=1), n_rows=rows),), n_rows=rows, files=(file,)
    )


ONE, TWO, THREE = snapshot("one", 1), snapshot("two", 2), snapshot("three", 3)


def test_the_first_night_is_compared_with_nothing_and_each_later_one_with_the_one_before(tmp_path: Path) -> None:
    assert baseline(tmp_path, "shop", ONE) is None
    accept(tmp_path, "shop", ONE, Marginals(rows=1))
    before = baseline(tmp_path, "shop", TWO)
    assert before is not None
    assert (before.snapshot, before.rows, before.objects) == (ONE.digest, {"exports": 1}, ("one one",))
    accept(tmp_path, "shop", TWO, Marginals(rows=2))
    assert (baseline(tmp_path, "shop", THREE) or before).marginals.rows == 2
    assert baseline(tmp_path, "other", ONE) is None


@pytest.mark.parametrize("times", [1, 3])
def test_a_night_that_is_replayed_is_compared_with_what_it_was_compared_with(tmp_path: Path, times: int) -> None:
    accept(tmp_path, "shop", ONE, Marginals(rows=1))
    for _ in range(times):
        accept(tmp_path, "shop", TWO, Marginals(rows=2))
        found = baseline(tmp_path, "shop", TWO)
        assert found is not None
        assert found.snapshot == ONE.digest


def test_a_note_of_another_form_makes_this_night_the_first(tmp_path: Path) -> None:
    accept(tmp_path, "shop", ONE, Marginals(rows=1))
    accepted_file(tmp_path, "shop").write_text('{"last": 1}')
    assert baseline(tmp_path, "shop", TWO) is None
