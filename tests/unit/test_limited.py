"""A limited suite: begins nothing late, leaves nothing out unnamed, and takes turns."""

import pytest

from infra.settings import ROOT

pytest_plugins = ["pytester"]

MODULE = "import time\ndef test_one(): time.sleep(0.3)\ndef test_two(): pass\ndef test_three(): pass\n"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(test_a=MODULE, test_b=MODULE, test_c=MODULE)
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "tests.limited", "-p", "no:xdist", "-v", "-rs", *options)


def test_tests_that_would_begin_late_are_skipped_by_name(suite: pytest.Pytester) -> None:
    found = run(suite, "--for-seconds", "-1").parseoutcomes()
    assert found == {"skipped": 9}
    result = run(suite, "--for-seconds", "600")
    assert result.parseoutcomes() == {"passed": 9}
    run(suite, "--for-seconds", "-1").stdout.fnmatch_lines(["*left out: -1 s are over*"])


def test_the_turn_decides_the_order_of_files_and_keeps_a_file_s_tests_together(suite: pytest.Pytester) -> None:
    def order(turn: str) -> list[str]:
        lines = run(suite, "--turn", turn).stdout.lines
        return [line.split("::")[0] for line in lines if "::" in line]

    orders = [order(str(number)) for number in range(3)]
    assert len({tuple(one) for one in orders}) > 1
    for one in orders:
        assert len(one) == 9
        assert [one[index] for index in (0, 3, 6)] == list(dict.fromkeys(one))
    assert order("same") == order("same")
