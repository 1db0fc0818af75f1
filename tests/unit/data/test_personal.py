"""Personal data and secrets: found, masked, and shown nowhere."""

import hashlib
import json
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.features.personal import compute
from tasks.data.kinds.build import build
from tasks.data.personal.find import HINTS, find
from tasks.data.personal.mask import canonical, mask, shown
from tasks.data.personal.policy import kinds_with, mask_key, masked
from tasks.data.personal.spans import KINDS, Span
from tasks.data.records import Record
from tasks.data.rows import Rows
from tasks.data_spec import DataSpec, PersonalSpec
from tasks.errors import MaskError
from tests.labelled import labelled

KEY = bytes(range(32))
BUILD, HELD_OUT = list(labelled("build")), list(labelled("held_out"))


def table(*texts: str) -> pa.Table:
    empty = pa.array([""] * len(texts), pa.string())
    return pa.table({"prompt_text": pa.array(texts, pa.string()), "chosen_text": empty, "rejected_text": empty})


def kinds_of(rows: pa.Table) -> list[set[str]]:
    return [{name for name, found in row.items() if found} for row in compute(rows).to_pylist()]


def figures(lines: list[tuple[str, list[Span]]]) -> dict[str, tuple[float, float, int]]:
    """Precision, recall and number of labelled spans of each kind; a span counts where both of its ends are right."""
    found = {(i, span) for i, (text, _) in enumerate(lines) for span in find(text)}
    wanted = {(i, span) for i, (_, spans) in enumerate(lines) for span in spans}
    both = Counter(span.kind for _, span in found & wanted)
    told, asked = Counter(span.kind for _, span in found), Counter(span.kind for _, span in wanted)
    return {kind: (both[kind] / told[kind], both[kind] / asked[kind], asked[kind]) for kind in KINDS}


# ---- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lines", "at_least"), [(BUILD, 1.0), (HELD_OUT, 0.95)], ids=["build", "held out"])
def test_precision_and_recall_of_every_kind_on_labelled_lines(
    lines: list[tuple[str, list[Span]]], at_least: float
) -> None:
    assert len(BUILD) >= 200
    for kind, (precision, recall, count) in figures(lines).items():
        assert count >= 5, kind
        assert precision >= at_least, kind
        assert recall >= at_least, kind


def test_what_only_looks_like_personal_data_is_left_alone() -> None:
    clean = [text for text, spans in BUILD + HELD_OUT if not spans]
    assert len(clean) > 100
    assert {text: find(text) for text in clean if find(text)} == {}


def test_columns_say_the_same_as_looking_at_each_text() -> None:
    texts = [text for text, _ in BUILD + HELD_OUT]
    assert kinds_of(table(*texts)) == [{span.kind for span in find(text)} for text in texts]


def test_a_row_is_flagged_by_any_of_its_three_texts_and_nulls_are_empty() -> None:
    mails = pa.array([None, "to ann@example.org", None])
    rows = pa.table(
        {"prompt_text": mails, "chosen_text": pa.array(["", "", "on +49 171 2345678"]), "rejected_text": mails}
    )
    assert kinds_of(rows) == [set(), {"email"}, {"phone"}]
    assert kinds_of(table()) == []


@pytest.mark.parametrize(
    "number", ["01\u00a042\u00a068\u00a053\u00a000", "+49 (0) 89 (0) 1234567", "06 - 12 - 34 - 56 - 78"]
)
def test_odd_spaces_and_signs_in_a_number_are_looked_through(number: str) -> None:
    assert {span.kind for span in find(f"call {number}")} == {"phone"}
    assert kinds_of(table(f"call {number}")) == [{"phone"}]


def test_a_password_in_a_url_is_a_secret_and_no_address() -> None:
    text = "postgres:/" + "/shop:s3cr3tPw9@db.example.com/shop"
    assert [(span.kind, text[span.start : span.end]) for span in find(text)] == [("secret", "s3cr3tPw9")]


def test_a_private_key_is_one_secret_from_its_first_line_to_its_last() -> None:
    head, tail = "-----BEGIN EC " + "PRIVATE KEY-----", "-----END EC " + "PRIVATE KEY-----"
    block = f"{head}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00FF\n\nMHcCAQEEIA+/=\nAbCd\n{tail}"
    assert find(f"see\n{block}\nbye") == [Span("secret", 4, 4 + len(block))]
    escaped = json.dumps(block)[1:-1].replace("Proc-Type: 4,ENCRYPTED\\nDEK-Info: AES-128-CBC,00FF\\n\\n", "")
    assert find(escaped) == [Span("secret", 0, len(escaped))]


# pieces that the patterns look for, so that random texts come close to what they mean
PIECES = st.sampled_from(
    [
        *"@.:-+/()[]{} \n'\"=,;%_x0123456789aZéß٣",
        "ann@example",
        ".org",
        "git@",
        "+49 171",
        "212-555-0199",
        "call ",
        "DE89 3704 0044 0532 0130 0",
        "4111 1111 1111 111",
        "203.0.113.4",
        "2001:db8::",
        "password: ",
        "AK" + "IA",
        "://",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "gh" + "p_",
        "eyJhbGciOiJIUzI1NiJ9.",
        "A" * 20,
        "[at]",
        "\u00a0",
        " ((",
        ")- ",
        " (dot) ",
        "00",
        "ssh ",
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60)


@settings(max_examples=10, deadline=None)  # each compiles the patterns anew
@given(st.lists(TEXTS, min_size=1, max_size=80))
def test_the_fast_filter_hides_nothing_that_looking_closely_finds(texts: list[str]) -> None:
    assert kinds_of(table(*texts)) == [{span.kind for span in find(text)} for text in texts]


@settings(max_examples=25, deadline=None)
@given(TEXTS)
def test_spans_lie_in_the_text_in_order_and_none_over_another(text: str) -> None:
    spans = find(text)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([(text, spans) for text, spans in BUILD if spans]), st.text(alphabet="abc def\n", max_size=20))
def test_what_is_found_stays_found_on_another_line(line: tuple[str, list[Span]], before: str) -> None:
    text, spans = line
    moved = [Span(span.kind, span.start + len(before) + 1, span.end + len(before) + 1) for span in spans]
    assert find(f"{before}\n{text}\n{before}") == moved


# ---- masks -----------------------------------------------------------------------------------------------------------


def hmac_by_hand(key: bytes, message: bytes) -> str:
    """RFC 2104's own formula."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).hexdigest()


def test_a_mark_is_the_kind_and_eight_digits_of_the_values_hmac() -> None:
    text = "write to Ann@Example.org today"
    seal = hmac_by_hand(KEY, b"email:ann@example.org")[:8]
    assert mask(text, find(text), KEY) == f"write to [EMAIL_{seal}] today"


SAME = [
    ("email", "ann@example.org", "ANN@example.org", "ann [at] example (dot) org"),
    ("phone", "+49 171 2345678", "0171/2345678", "0049 171 234 5678"),
    ("iban", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "de89-3704-0044-0532-0130-00"),
    ("card", "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"),
]


@pytest.mark.parametrize("spelt", SAME, ids=[one[0] for one in SAME])
def test_one_value_has_one_mark_however_it_is_written(spelt: tuple[str, ...]) -> None:
    regions = ("DE",)
    marks = {mask(text, [Span(spelt[0], 0, len(text))], KEY, regions) for text in spelt[1:]}  # pyright: ignore
    assert len(marks) == 1
    assert find(spelt[2] if spelt[0] != "phone" else f"call {spelt[2]}", regions) != []


def test_another_value_another_key_or_another_kind_has_another_mark() -> None:
    one, other = "to ann@example.org", "to bea@example.org"
    marks = {mask(one, find(one), KEY), mask(other, find(other), KEY), mask(one, find(one), KEY[::-1])}
    digits = "41111111"
    marks |= {mask(digits, [Span(kind, 0, 8)], KEY).split("_")[1] for kind in ("card", "ip")}  # pyright: ignore
    assert len(marks) == 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([text for text, _ in BUILD + HELD_OUT]), min_size=1, max_size=4).map("\n".join))
def test_a_masked_text_holds_nothing_to_find_and_masking_it_again_changes_nothing(text: str) -> None:
    once = mask(text, find(text), KEY)
    assert find(once) == []
    assert mask(once, find(once), KEY) == once


def test_a_short_key_or_overlapping_spans_are_refused() -> None:
    with pytest.raises(MaskError, match="8 bytes"):
        mask("x", [], b"01234567")
    with pytest.raises(MaskError, match="begins at 2"):
        mask("abcdef", [Span("email", 0, 3), Span("ip", 2, 5)], KEY)


def test_a_home_has_one_key_that_only_its_owner_reads(tmp_path) -> None:
    first = mask_key(tmp_path / "secret")
    assert (mask_key(tmp_path / "secret"), len(first)) == (first, 32)
    assert mask_key(tmp_path / "another") != first
    assert (tmp_path / "secret" / "mask.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "secret" / "mask.key").write_text("short")
    with pytest.raises(MaskError, match=r"mask\.key"):
        mask_key(tmp_path / "secret")


# ---- reports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("escape", [False, True], ids=["as it is", "as JSON"])
def test_nothing_that_is_labelled_is_shown(escape: bool) -> None:
    for text, spans in BUILD + HELD_OUT:
        told = shown(json.dumps(text).replace("@", "\\u0040") if escape else text)
        for span in spans:
            assert text[span.start : span.end] not in told, text


def test_numbers_that_might_be_something_and_bytes_are_not_shown_either() -> None:
    assert shown("case 004500123987, room 204") == "case [NUMBER], room 204"
    assert shown("base64:AAECAwQFBgc=") == "[14 bytes]"


def test_a_text_is_cut_after_masking_so_that_no_half_of_a_value_is_left() -> None:
    assert shown("write to ann.lee@example.org", limit=14) == "write to [EMA…"


# ---- policy ----------------------------------------------------------------------------------------------------------


def rows_of(*changed: dict[str, str]) -> pa.Table:
    """Rows 1, 2, … of pairs, each with its changes."""
    rows = Rows("default")
    for number, changes in enumerate(changed, 1):
        value = {"prompt": f"question {number}", "chosen": "yes", "rejected": "no"} | changes
        record = Record(value, json.dumps(value).encode(), number)
        for built in build("pairs", "auto", record):
            rows.add(built, record, "f.jsonl", "v")
    return rows.table()


def test_every_kind_is_quarantined_unless_the_recipe_says_otherwise() -> None:
    assert kinds_with(DataSpec().personal, "quarantine") == KINDS
    spec = PersonalSpec(email="mask", phone="mask", ip="allow")
    assert kinds_with(spec, "mask") == ("email", "phone")
    assert kinds_with(spec, "quarantine") == ("iban", "card", "secret")


def test_masked_rows_keep_everything_but_the_values_of_the_kinds_to_mask() -> None:
    mail, ip = "ann@example.org", "203.0.113.7"
    rows = rows_of({}, {"prompt": f"{mail} at {ip}", "chosen": f"so {mail}"}, {"chosen": ip})
    told = masked(rows, compute(rows), PersonalSpec(email="mask", ip="allow"), KEY).to_pylist()
    seal = f"[EMAIL_{hmac_by_hand(KEY, b'email:' + mail.encode())[:8]}]"
    assert (told[1]["prompt_text"], told[1]["chosen_text"]) == (f"{seal} at {ip}", f"so {seal}")
    assert json.loads(told[1]["chosen"]) == [{"role": "assistant", "content": f"so {seal}"}]
    assert (told[0], told[2]) == (rows.to_pylist()[0], rows.to_pylist()[2])
    assert told[1]["raw"] == rows.to_pylist()[1]["raw"]


def test_where_nothing_is_to_be_masked_rows_stay_as_they_are() -> None:
    rows = rows_of({"chosen": "ann@example.org"})
    assert masked(rows, compute(rows), PersonalSpec(), KEY).equals(rows)


def test_every_kind_has_a_finder_a_hint_and_a_policy() -> None:
    assert set(HINTS) == set(KINDS) == set(PersonalSpec.model_fields) - {"regions"}
    assert canonical(Span("ip", 0, 1), "2001:DB8::1") == "2001:db8::1"
