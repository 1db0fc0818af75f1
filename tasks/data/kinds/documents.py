"""Documents: Markdown, HTML, text, PDF and JSON collections → sections → questions with the answer that stands there.

A document is read as a whole. What the model is to learn is the chosen answer: the section's own words. The rejected
one is what the serving model says without the document; the ``sample`` step fills it in (tasks/data/sample.py).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from infra.digest import digest_bytes, digest_of, short
from tasks.data.documents.decoded import decode
from tasks.data.documents.grounded import grounded
from tasks.data.documents.read_html import html_blocks
from tasks.data.documents.read_json import json_sections
from tasks.data.documents.read_markdown import markdown_blocks
from tasks.data.documents.read_text import text_blocks
from tasks.data.documents.sections import Anchor, Block, Section, sections_of, whole_text
from tasks.data.documents.sidecar import Question, finder, pair_up, read_questions
from tasks.data.documents.titles import ask_title, name_title
from tasks.data.documents.words import is_question, unprefixed, word_set
from tasks.data.records import Broken
from tasks.data.rows import Built

MOST_WORDS = 150  # of an answer
FEWEST_WORDS = 8  # of a section that is asked for by its title
ENDINGS = {
    "md": "markdown", "markdown": "markdown", "html": "html", "htm": "html", "xhtml": "html", "txt": "text",
    "text": "text", "pdf": "pdf", "json": "json",
}  # fmt: skip
FORMS = ("auto", "titles")
_READERS: dict[str, Callable[[str], list[Block]]] = {
    "markdown": markdown_blocks,
    "html": html_blocks,
    "text": text_blocks,
}
# a question with one of these says what it is about only under its title
_UNSAID = word_set("it its this these those they them")


def read_document(name: str, data: bytes) -> list[Section]:
    """A document's sections, in its order; its ending says what it is (``.gz`` and ``.zst`` are unpacked before).

    Raises:
        ValueError: an unknown ending, no text, damaged, encrypted or too large; names the place and what to do.
    """
    ending = name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[2].lower()
    form = ENDINGS.get(ending)
    if form is None:
        raise ValueError(f"a document can't be a .{ending} file; it may be {', '.join(sorted(ENDINGS))}")
    document = digest_bytes(data)
    if form == "pdf":
        from tasks.data.documents.read_pdf import pdf_blocks

        found = sections_of(name, document, pdf_blocks(data), "pages")
    elif form == "json":
        found = json_sections(name, document, decode(data))
    else:
        text = decode(data, html=form == "html")
        found = sections_of(name, document, _READERS[form](text), "lines")
    if not any(char.isalnum() for section in found for char in section.text):
        raise ValueError("no text in it: take it out of the source, or mend its export")
    return found


class _Asked(NamedTuple):
    question: str
    rule: str
    place: int
    line: int  # of the sidecar; 0: of the document


def built(
    sections: Sequence[Section],
    questions: Iterable[Question] = (),
    *,
    form: str = "auto",
    tenant: str | None = None,
    most_words: int = MOST_WORDS,
) -> list[Built]:
    """What the sections answer: their titles and lines that are questions, or stand for one, and the sidecar's.

    Args:
        form: ``auto``; ``titles``: every other section with text is asked for by its title too.
        most_words: of an answer, which ends with a whole sentence or item.
    """
    return [one for one in _built(sections, questions, form, tenant, most_words) if isinstance(one, Built)]


def build_document(
    name: str,
    data: bytes,
    sidecar: bytes | None = None,
    *,
    form: str = "auto",
    tenant: str | None = None,
    most_words: int = MOST_WORDS,
) -> list[Built | Broken]:
    """A whole document, and its sidecar's bytes: what it gives, and what can't be read of it. Raises nothing.

    ``Broken.line`` is 0 for the document as a whole, else a line of the sidecar.
    """
    asked = read_questions(sidecar) if sidecar is not None else []
    bad = [one for one in asked if isinstance(one, Broken)]
    if form not in FORMS:
        return [Broken(b"", 0, f"documents have no form {form!r}; it may be {', '.join(FORMS)}")]
    try:
        sections = read_document(name, data)
    except ValueError as error:
        return [Broken(data[:1000], 0, str(error)), *bad]
    good = [one for one in asked if isinstance(one, Question)]
    return [*_built(sections, good, form, tenant, most_words), *bad]


def _built(
    sections: Sequence[Section], questions: Iterable[Question], form: str, tenant: str | None, most_words: int
) -> list[Built | Broken]:
    found: list[Built | Broken] = []
    asked: list[_Asked] = []
    questions = list(questions)
    place_of = finder(sections if questions else ())
    for one in questions:
        try:
            asked.append(_Asked(one.question, "sidecar", place_of(one), one.line))
        except ValueError as error:
            found.append(Broken(one.question.encode(), one.line, f"{one.question!r}: {error}"))
    asked += _of_titles(sections, form)
    answers: dict[str, list[tuple[_Asked, Built]]] = defaultdict(list)
    for one in asked:
        made = _row(sections, one, tenant, most_words)
        if made is not None:
            answers[one.question.lower()].append((one, made))
        elif one.line:
            found.append(
                Broken(
                    one.question.encode(),
                    one.line,
                    f"{one.question!r}: its section has no sentence within {most_words} words",
                )
            )
    return found + [row for same in answers.values() for row in _unambiguous(same, sections)]


def _of_titles(sections: Sequence[Section], form: str) -> list[_Asked]:
    asked = []
    for place, section in enumerate(sections):
        if not section.path:
            continue
        one = ask_title(section.title, section.text)
        if one is not None:
            question = one.question
            if len(section.path) > 1 and _UNSAID & set(question.lower().strip("?").split()):
                question = _titled(section, question)
            asked.append(_Asked(question, one.rule, place, 0))
        elif form == "titles" and is_question(section.title) is None and len(section.text.split()) >= FEWEST_WORDS:
            asked.append(_Asked(name_title(section.path), "title", place, 0))
    return asked


def _titled(section: Section, question: str) -> str:
    """A question that says only under its title what it is about."""
    return f"{unprefixed(section.path[-2]).rstrip(':')}: {question}"


def _row(sections: Sequence[Section], asked: _Asked, tenant: str | None, most_words: int) -> Built | None:
    section = sections[asked.place]
    # a title asked for by its name is answered by what stands right under it
    text, anchor = (section.text, section.anchor) if asked.rule == "title" else whole_text(sections, asked.place)
    answer = grounded(text, most_words)
    if answer is None:
        return None
    return Built(
        prompt=[{"role": "user", "content": asked.question}],
        chosen=[{"role": "assistant", "content": answer.text}],
        rejected=[],
        id=short(digest_of([section.source, list(section.path), asked.question]), 16),
        kind="document",
        builder=f"documents/{asked.rule}",
        citation=_citation(section, anchor, asked, answer.text, answer.cut),
        tenant=tenant,
    )


def _citation(section: Section, anchor: Anchor, asked: _Asked, quote: str, cut: bool) -> str:
    """Where an answer stands, so that it can be found and checked again: ``quote`` is the digest of its words."""
    value: dict[str, Any] = {
        "source": section.source,
        "document": section.document,
        "section": list(section.path),
        **{
            unit: list(span) if isinstance(span, tuple) else span
            for unit, span in anchor.model_dump(exclude_none=True).items()
        },
        "asked": asked.rule,
        "quote": digest_bytes(quote.encode()),
        "cut": cut,
    }
    return json.dumps(value, ensure_ascii=False)


def _unambiguous(same: list[tuple[_Asked, Built]], sections: Sequence[Section]) -> list[Built | Broken]:
    """One question, one answer. Asked in several sections that say different things, it is asked under their titles."""
    texts = {row.chosen[0]["content"] for _, row in same}
    if len(texts) == 1:
        return [same[0][1]]
    titled = {
        _titled(sections[asked.place], asked.question): (asked, row)
        for asked, row in same
        if asked.rule != "sidecar" and len(sections[asked.place].path) > 1
    }
    if len(titled) == len(same):
        return [_under(question, row, sections[asked.place]) for question, (asked, row) in titled.items()]
    asked = same[0][0]
    lines = [one.line for one, _ in same if one.line]
    why = f"{asked.question!r} has {len(texts)} answers in this document: ask for each in the sidecar, in its own words"
    return [Broken(asked.question.encode(), lines[0] if lines else 0, why)]


def _under(question: str, row: Built, section: Section) -> Built:
    from dataclasses import replace

    id_ = short(digest_of([section.source, list(section.path), question]), 16)
    return replace(row, id=id_, prompt=[{"role": "user", "content": question}])


__all__ = ["ENDINGS", "FORMS", "build_document", "built", "pair_up", "read_document", "read_questions"]
