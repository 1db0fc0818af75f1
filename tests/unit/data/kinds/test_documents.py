"""Documents: sections with titles and places, the questions they answer, and what can't be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.digest import digest_bytes
from infra.settings import ROOT
from tasks.data.documents.sections import Section
from tasks.data.kinds.documents import build_document, built, pair_up, read_document, read_questions
from tasks.data.records import Broken
from tasks.data.rows import Built
from tests.documents import make_pdf

EXAMPLE = ROOT / "recipes" / "examples" / "documents"

POLICY = """# Policy

Before all else.

## Returns

### How long can I return an item?

You can return it within 45 days. It must be *unused*, see [the form](https://kestrel.example/form).

- bring the **label**
- hand it in
  at a point

## Fees

| Parcel | Fee | Bound |
|---|---|---|
| Small | 2.90 EUR | 2 kg |
| Large | 8.90 EUR | 30 kg |
"""


def texts(sections: list[Section]) -> dict[tuple[str, ...], str]:
    return {section.path: section.text for section in sections}


def rows(name: str, data: bytes, sidecar: bytes | None = None, **how: Any) -> list[Built]:
    found = build_document(name, data, sidecar, **how)
    assert not [one for one in found if isinstance(one, Broken)], found
    return [one for one in found if isinstance(one, Built)]


def asked(found: list[Built]) -> dict[str, str]:
    return {one.prompt[0]["content"]: one.chosen[0]["content"] for one in found}


def problem(name: str, data: bytes) -> str:
    with pytest.raises(ValueError) as raised:
        read_document(name, data)
    return str(raised.value)


def test_markdown_gives_sections_with_titles_words_and_lines() -> None:
    sections = read_document("policy.md", POLICY.encode())
    assert texts(sections) == {
        ("Policy",): "Before all else.",
        ("Policy", "Returns"): "",
        ("Policy", "Returns", "How long can I return an item?"): (
            "You can return it within 45 days. It must be unused, see the form.\n\n"
            "- bring the label\n- hand it in at a point"
        ),
        ("Policy", "Fees"): "- Small: Fee 2.90 EUR, Bound 2 kg\n- Large: Fee 8.90 EUR, Bound 30 kg",
    }
    assert [section.anchor.lines for section in sections] == [(1, 3), (5, 5), (7, 13), (15, 20)]


def test_front_matter_is_no_text_and_moves_no_line() -> None:
    (section,) = read_document("a.md", b"---\ntitle: x\n---\n# Fees\n\nNone.\n")
    assert section.path == ("Fees",)
    assert section.text == "None."
    assert section.anchor.lines == (4, 6)


def test_html_gives_the_page_without_what_frames_it() -> None:
    page = """<html><head><title>T</title><style>p {}</style></head><body><nav>Home</nav><header>Logo</header>
<h1>Help</h1><p hidden>secret</p><p>First <b>bold</b>
line<br>second</p><script>x()</script>
<ol start=3><li>three<li><p>four</p></ol>
<dl><dt>What is it?<dd>A thing &amp; more.</dl>
<table><tr><th>Parcel<th>Fee<tr><td>Small<td>2 EUR</table>
<footer>c</footer></body></html>"""
    sections = read_document("help.html", page.encode())
    assert texts(sections) == {
        ("Help",): "First bold line second\n\n3. three\n4. four",
        ("Help", "What is it?"): "A thing & more.\n\n- Small: 2 EUR",
    }
    assert sections[1].anchor.lines == (5, 6)


def nested(depth: int) -> bytes:
    return ("<body><h1>Top</h1>" + "<div>" * depth + "deep" + "</div>" * depth + "<p>after</p>").encode()


def test_html_nested_deeply_is_read_whole_or_refused() -> None:
    assert read_document("a.html", nested(1000))[0].text == "deep\n\nafter"
    assert "nested deeper than 2,048 elements" in problem("a.html", nested(5000))


def test_a_declared_encoding_is_honoured_and_a_wrong_one_named() -> None:
    page = '<meta charset="latin-1"><h1>Gebühren</h1><p>Größe „L“</p>'.encode("cp1252")
    assert read_document("a.html", page)[0].text == "Größe „L“"
    assert "not utf-8 at byte" in problem("a.html", page.replace(b"latin-1", b"utf-8"))
    assert "declares the encoding 'klingon'" in problem("a.html", page.replace(b"latin-1", b"klingon"))


def test_text_knows_headings_by_underline_number_and_capitals() -> None:
    text = "RETURNS\n\nBefore.\n\nFees\n----\nNone.\n\n2.1 How to pay\n\nBy card.\n\n1. first step\n\n2. second step\n"
    assert texts(read_document("a.txt", text.encode())) == {
        ("RETURNS",): "Before.",
        ("RETURNS", "Fees"): "None.",
        ("RETURNS", "Fees", "2.1 How to pay"): "By card.\n\n1. first step\n2. second step",
    }


def test_an_faq_without_headings_is_cut_at_its_questions() -> None:
    text = (
        b"What is the fee?\nThere is none.\n\nQ: Do you ship to Norway?\nA: No.\nQ: And when?\nA: Never.\n\n"
        b"How long\ndoes it take?\n\nA day.\n"
    )
    found = asked(rows("faq.txt", text))
    assert found == {
        "What is the fee?": "There is none.",
        "Do you ship to Norway?": "No.",
        "How long does it take?": "A day.",
    }


def test_what_only_looks_like_an_answer_s_mark_stays() -> None:
    text = b"# Authors\n\nA. Smith wrote it.\n\nF. Scott\nread it. f) last\n\n## Who paid for it?\n\nA: A. Smith.\n"
    assert texts(read_document("a.md", text)) == {
        ("Authors",): "A. Smith wrote it.\n\nF. Scott read it. f) last",
        ("Authors", "Who paid for it?"): "A. Smith.",
    }


def test_a_pdf_gives_sections_by_size_and_weight_with_pages() -> None:
    data = (EXAMPLE / "customs.pdf").read_bytes()
    sections = read_document("customs.pdf", data)
    assert [(section.path[1:], section.anchor.pages) for section in sections] == [
        ((), (1, 1)),
        (("Parcels to other countries",), (1, 1)),
        (("Parcels to other countries", "Which form do I need for Norway?"), (1, 1)),
        (("Parcels to other countries", "Who pays the customs duty?"), (2, 2)),
        (("Forbidden goods",), (2, 2)),
    ]
    # a paragraph goes on over lines, and a word over a hyphen
    assert "it. Without it the parcel goes back after 4 days." in sections[2].text
    assert sections[4].text == "- batteries that lie loose\n- plants and seeds\n- cash above 100 EUR"


def test_running_titles_and_page_numbers_of_a_pdf_are_left_out() -> None:
    pages = [
        [
            ("Policy 2026", 9, False),
            ("", 11, False),
            (f"What is {word} for?", 15, True),
            (f"For {word}s.", 11, False),
            ("", 11, False),
            (f"Page {n}", 9, False),
        ]
        for n, word in enumerate(("soap", "wood", "glass", "paper"), 1)
    ]
    found = asked(rows("a.pdf", make_pdf(pages)))
    assert found == {f"What is {word} for?": f"For {word}s." for word in ("soap", "wood", "glass", "paper")}


def test_a_nested_json_collection_gives_sections_by_its_titles() -> None:
    ask = {"type": "ask", "button": "Ask now", "text": "Ask for the order:", "subtext": ["its number", "its day"]}
    value = {
        "Refunds": {
            "description": "all about money",
            "subflows": {"Partial Refund": {"actions": [ask], "fee": 3}, "Full Refund": {"actions": [{"text": "No."}]}},
        },
        "Orders": {
            "subflows": {"Late Order": {"actions": [{"text": "Wait."}], "instructions": ["first this", "then that"]}}
        },
        "faq": [{"question": "Is it free?", "answer": "Yes."}],
        "returnPolicy": "Within 45 days.",
    }
    sections = read_document("a.json", json.dumps(value).encode())
    assert texts(sections) == {
        ("Refunds",): "all about money",
        ("Refunds", "Partial Refund"): "Ask for the order:\n- its number\n- its day\nfee: 3",
        ("Refunds", "Full Refund"): "No.",
        ("Orders",): "",
        ("Orders", "Late Order"): "Wait.\n- first this\n- then that",
        ("faq",): "",
        ("faq", "Is it free?"): "Yes.",
        ("return Policy",): "Within 45 days.",
    }
    pointers = {section.title: section.anchor.pointer for section in sections}
    assert pointers["Full Refund"] == "/Refunds/subflows/Full Refund"
    assert pointers["Is it free?"] == "/faq/0"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": "x", "a": "y"}', "the key 'a' occurs twice"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": ', "Expecting value: line 1 column 7"),
        ("[" * 100000, "nested deeper than 64"),
        ("[" * 80 + "]" * 80, "nested deeper than 64"),
        ("{}", "no text in it"),
    ],
)
def test_json_that_would_lose_a_text_is_refused_with_its_place(text: str, why: str) -> None:
    assert why in problem("a.json", text.encode())


def encrypted() -> bytes:
    return make_pdf([[("Policy", 11, False)]], password="secret")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.docx", b"x", "a document can't be a .docx file"),
        ("a.md", b"ok\ncaf\xe9", "not utf-8 at byte 6, line 2"),
        ("a.txt", b"one\ntwo\0", "a NUL on line 2"),
        ("a.txt", "wide".encode("utf-16-le"), "a NUL on line 1"),
        ("a.md", b"", "no text in it"),
        ("a.md", b"# Only a title\n", "no text in it"),
        ("a.txt", b"x" * (17 << 20), "a text document may have 16,777,216: split it"),
        ("a.pdf", b"<html>", "no PDF: it begins with b'<html>'"),
        ("a.pdf", make_pdf([[("Policy", 11, False)]])[:-40], "cut off: no %%EOF"),
        ("a.pdf", encrypted(), "encrypted: save it without a password"),
        ("a.pdf", make_pdf([[]]), "1 of 1 pages have no text: a scan?"),
        ("a.pdf", make_pdf([[("Policy", 11, False)]]).replace(b"FlateDecode", b"FlatDecodes"), "page 1 is damaged"),
        ("a.pdf", b"%PDF-1.4\n" + b"junk " * 100 + b"%%EOF", "the file as a whole is damaged"),
    ],
)
def test_what_cannot_be_read_names_the_place_and_what_to_do(name: str, data: bytes, why: str) -> None:
    assert why in problem(name, data)
    (broken,) = build_document(name, data)
    assert isinstance(broken, Broken)
    assert broken.line == 0
    assert why in broken.error


def test_bytes_behind_a_mark_are_read_as_it_says() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        (section,) = read_document("a.txt", "Größe zählt.".encode(encoding))
        assert section.text == "Größe zählt."


def test_a_pdf_that_unpacks_to_far_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.documents.read_pdf.MOST_OPERATIONS", 1000)
    bomb = make_pdf([[]], content=b"BT /F0 9 Tf (x) Tj ET\n" * 5000)
    assert len(bomb) < 2000
    assert "page 1 unpacks to more than is allowed (more than 1,000 drawing operations)" in problem("a.pdf", bomb)


def test_a_page_whose_stream_unpacks_to_too_much_is_refused_by_the_library_s_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.data.documents.read_pdf.MOST_UNPACKED", 1 << 20)
    bomb = make_pdf([[]], content=b" " * (4 << 20))
    assert len(bomb) < 10_000
    assert "unpacks to more than is allowed" in problem("a.pdf", bomb)


def test_a_pdf_that_anybody_can_open_is_read_though_it_is_encrypted() -> None:
    data = make_pdf([[("Policy", 16, True), ("No fee.", 11, False)]], password="")
    assert read_document("a.pdf", data)[-1].text == "No fee."


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 1500))
def test_a_pdf_with_any_bytes_in_its_middle_is_read_or_refused_with_a_reason(junk: bytes, at: int) -> None:
    whole = (EXAMPLE / "customs.pdf").read_bytes()
    for one in build_document("a.pdf", whole[:at] + junk + whole[at + len(junk) :]):
        assert one.error if isinstance(one, Broken) else one.chosen[0]["content"]


@pytest.mark.parametrize("hurt", [b"/F0 4 0 R", b"9 0 obj", b"/Type /Font\n/Subtype"])
def test_a_pdf_that_has_lost_an_object_is_refused_and_not_read_without_it(hurt: bytes) -> None:
    whole = (EXAMPLE / "customs.pdf").read_bytes()
    assert hurt in whole
    why = problem("a.pdf", whole.replace(hurt, b"\0" * len(hurt)))
    assert "can't be read as a whole" in why or "damaged" in why


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.sampled_from(["md", "html", "txt", "json"]))
def test_any_text_is_read_or_refused_with_a_reason(text: str, ending: str) -> None:
    for one in build_document(f"a.{ending}", text.encode("utf-8", "surrogatepass")):
        assert one.error if isinstance(one, Broken) else one.chosen[0]["content"]


def test_an_answer_cites_where_its_words_stand() -> None:
    (row,) = rows("policy.md", POLICY.encode(), tenant="kestrel")
    assert row.kind == "document"
    assert row.builder == "documents/question"
    assert row.rejected == []
    assert row.tenant == "kestrel"
    assert json.loads(row.citation or "") == {
        "source": "policy.md",
        "document": digest_bytes(POLICY.encode()),
        "section": ["Policy", "Returns", "How long can I return an item?"],
        "lines": [7, 13],
        "asked": "question",
        "quote": digest_bytes(row.chosen[0]["content"].encode()),
        "cut": False,
    }


def test_a_long_section_is_quoted_in_whole_sentences() -> None:
    text = "# What holds here?\n\n" + " ".join(f"Rule {n} of this policy holds for everybody." for n in range(50))
    (row,) = built(read_document("a.md", text.encode()), most_words=20)
    assert (
        row.chosen[0]["content"]
        == "Rule 0 of this policy holds for everybody. Rule 1 of this policy holds for everybody."
    )
    assert json.loads(row.citation or "")["cut"] is True


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["One two.", "It is so, Mr. X says!", "- item one", "You need:", "3.5 kg at most"]), max_size=30
    ),
    st.integers(1, 40),
)
def test_an_answer_is_a_beginning_of_its_section_within_the_bound(parts: list[str], most: int) -> None:
    text = "# What holds here?\n\n" + "\n\n".join(parts)
    found = [one for one in build_document("a.md", text.encode(), most_words=most) if isinstance(one, Built)]
    if found:
        section = read_document("a.md", text.encode())[0].text.split()
        answer = found[0].chosen[0]["content"].split()
        assert len(answer) <= most
        assert section[: len(answer)] == answer


def test_a_question_that_leans_on_its_title_is_asked_under_it() -> None:
    text = b"# Refunds\n\n## How long does it take?\n\nA day.\n"
    assert asked(rows("a.md", text)) == {"Refunds: How long does it take?": "A day."}


def test_one_question_with_two_answers_is_asked_under_its_titles() -> None:
    text = b"# Gold\n## What is the fee?\nNone.\n# Silver\n## What is the fee?\n5 EUR.\n"
    assert asked(rows("a.md", text)) == {"Gold: What is the fee?": "None.", "Silver: What is the fee?": "5 EUR."}


def test_one_question_with_two_answers_and_no_titles_is_reported() -> None:
    (broken,) = build_document("a.md", b"# What is the fee?\nNone.\n# What is the fee?\n5 EUR.\n")
    assert isinstance(broken, Broken)
    assert broken.error.startswith("'What is the fee?' has 2 answers in this document")


def test_titles_are_asked_for_by_name_only_where_the_source_says_so() -> None:
    text = b"# Loose batteries\n\nThey must not be sent at all, by nobody.\n\n# Short\n\nNo.\n"
    assert rows("a.md", text) == []
    question = "What does the documentation say about \u201cLoose batteries\u201d?"
    assert asked(rows("a.md", text, form="titles")) == {question: "They must not be sent at all, by nobody."}
    (broken,) = build_document("a.md", text, form="all")
    assert isinstance(broken, Broken)
    assert "no form 'all'" in broken.error


SIDECAR = b"""{"question": "Still time to send it back?", "section": "how long can i return an item"}
{"question": "What do I pay for a small one?", "section": "Policy > Fees"}
{"question": "Which label do I bring?"}
not json
{"question": "Why?", "section": "Nowhere"}
{"question": "Is there tea in the kitchen?"}
{"question": "x", "sektion": "Fees"}
"""


def test_a_sidecar_asks_by_section_name_or_by_words_and_its_bad_lines_are_named() -> None:
    found = build_document("policy.md", POLICY.encode(), SIDECAR)
    answers = asked([one for one in found if isinstance(one, Built)])
    assert answers["Still time to send it back?"].startswith("You can return it within 45 days.")
    assert answers["What do I pay for a small one?"].startswith("- Small: Fee 2.90 EUR")
    assert "- bring the label" in answers["Which label do I bring?"]
    broken = {one.line: one.error for one in found if isinstance(one, Broken)}
    assert sorted(broken) == [4, 5, 6, 7]
    assert "no section is called 'Nowhere'; there are: Policy; Policy > Returns" in broken[5]
    assert "it can't be told which section answers it" in broken[6]
    assert "unknown keys sektion" in broken[7]


def test_a_sidecar_belongs_to_one_document() -> None:
    names = [
        "a.md",
        "a.md.questions.jsonl",
        "b.md",
        "b.pdf",
        "b.questions.jsonl",
        "c.txt",
        "c.questions.jsonl",
        "d.questions.jsonl",
    ]
    documents, orphans = pair_up(names)
    assert documents == {"a.md": "a.md.questions.jsonl", "b.md": None, "b.pdf": None, "c.txt": "c.questions.jsonl"}
    assert "2 documents are called so: b.md, b.pdf" in orphans["b.questions.jsonl"]
    assert "no document is called so" in orphans["d.questions.jsonl"]


def test_a_blank_sidecar_asks_nothing() -> None:
    assert read_questions(b"\xef\xbb\xbf\n\r\n  \n") == []


def example_rows() -> list[Built]:
    found: list[Built] = []
    for path in sorted(EXAMPLE.iterdir()):
        if path.suffix in (".md", ".html", ".txt", ".pdf") and path.name != "README.md":
            sidecar: Path = path.with_name(f"{path.name}.questions.jsonl")
            found += rows(path.name, path.read_bytes(), sidecar.read_bytes() if sidecar.exists() else None)
    return found


def test_the_example_asks_twenty_questions_with_an_answer_and_a_citation_each() -> None:
    found = example_rows()
    assert len(found) == 20
    assert len({one.id for one in found}) == 20
    for one in found:
        citation = json.loads(one.citation or "")
        assert citation["quote"] == digest_bytes(one.chosen[0]["content"].encode())
        assert citation["section"]
    assert asked(found)["What are the opening hours?"].startswith("The service desk answers from 7 am to 8 pm")
