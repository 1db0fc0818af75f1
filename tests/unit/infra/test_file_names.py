"""Names that others give files: what leaves the folder, or could be read in two ways, is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.file_names import link_in_the_way, refuse_file_name, refuse_file_names

HOSTILE = {
    "": "is empty",
    "/etc/cron.d/x": "is absolute",
    "C:/x": "is absolute",
    "..": "'..'",
    "../x": "'..'",
    "a/../../x": "'..'",
    "a/..": "'..'",
    "..\\x": "backslash",
    "a\\..\\x": "backslash",
    "a\x00.json": "control character",
    "a\n.json": "control character",
    "./a": "two names",
    "a//b": "two names",
    "a/": "two names",
    "a/./b": "two names",
    "\ud800": "Unicode",
    "a" * 2000: "longer than 1024",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_name_is_refused_with_the_reason(name: str) -> None:
    why = refuse_file_name(name)
    assert why is not None
    assert HOSTILE[name] in why


@pytest.mark.parametrize("name", ["a", "model.safetensors", "deep/er/x..json", "...", ".hidden", "ü/日本.json", "a b"])
def test_ordinary_names_pass(name: str) -> None:
    assert refuse_file_name(name) is None
    assert refuse_file_names([name]) is None


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "\\", "/", "C:", "..."]), max_size=6).map("/".join))
def test_a_name_that_passes_stays_inside_whatever_it_is_made_of(name: str) -> None:
    if refuse_file_name(name) is None:
        folder = Path("/some/folder")
        joined = folder / name
        assert folder in joined.parents
        assert ".." not in joined.parts
        assert joined.relative_to(folder).as_posix() == name


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "'a' is there twice"),
        (["Config.json", "config.json"], "twice (as 'Config.json')"),
        (["a", "a/b"], "'a' is a file and the folder of 'a/b'"),
        (["a/b/c", "a/b"], "'a/b' is a file and the folder of 'a/b/c'"),
        (["ok", "../x"], "'../x' leads out"),
    ],
)
def test_names_that_can_not_lie_beside_each_other_are_refused(names: list[str], message: str) -> None:
    assert message in str(refuse_file_names(names))


def test_a_link_on_the_way_to_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "real" / "deep").symlink_to("/etc")
    assert link_in_the_way(tmp_path, "real/x") is None
    assert link_in_the_way(tmp_path, "link") is None  # the file itself: it is replaced, not followed
    assert link_in_the_way(tmp_path, "link/passwd") == tmp_path / "link"
    assert link_in_the_way(tmp_path, "real/deep/er/x") == tmp_path / "real" / "deep"
