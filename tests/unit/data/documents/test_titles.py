"""Which titles stand for a question, and for which."""

import pytest

from tasks.data.documents.titles import ask_title
from tasks.data.documents.words import is_question, sentences


@pytest.mark.parametrize(
    ("title", "question", "rule"),
    [
        ("How long can I return an item?", "How long can I return an item?", "question"),
        ("3.2 **Who pays for it?**", "Who pays for it?", "question"),
        ("¿Cuánto cuesta el envío?", "¿Cuánto cuesta el envío?", "question"),
        ("退货需要多久?", "退货需要多久?", "question"),
        ("Where do I find my order number", "Where do I find my order number?", "unmarked"),
        ("How to Reset Your Password", "How do I reset my password?", "how-to"),
        ("2. Returning an item", "How do I return an item?", "doing"),
        ("Download the PDF", "How do I download the PDF?", "task"),
        ("Opening Hours", "What are the opening hours?", "noun"),
        ("The return policy", "What is the return policy?", "noun"),
    ],
)
def test_a_title_is_asked_as_a_plain_question(title: str, question: str, rule: str) -> None:
    assert ask_title(title, "From 8 to 6.") == (question, rule)


@pytest.mark.parametrize(
    "title",
    [
        "Introduction",
        "Questions?",
        "And for parcels abroad?",
        "Lost it? What now?",
        "Returns",
        "Reset password",  # whose?
        "Return due to stain",
        "How to be sure you are safe",
        "Returning to the office; exceptions",
        "Terms and conditions of the carriage of goods by sea and by road and by air",
    ],
)
def test_a_title_that_no_rule_fits_asks_nothing(title: str) -> None:
    assert ask_title(title, "From 8 to 6.") is None


def test_a_title_of_an_amount_is_asked_only_where_the_text_begins_with_one() -> None:
    assert ask_title("Shipping cost", "Get the full name first. " * 10 + "It is 5 EUR.") is None
    assert ask_title("Shipping cost", "It is free.") is not None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("It takes approx. 3 days. Mr. X knows.", 2),
        ("It weighs 3.5 kg. Send it to a.b@c.example.", 2),
        ("Fees, e.g. 5 EUR, apply. 3 days later they don't.", 2),
        ("z.B. am Montag. Dann nicht.", 2),
        ('He said "No." Then he left.', 2),
        ("See no. 3 and Art. 5. No. Not there.", 3),
        ("", 0),
    ],
)
def test_sentences_end_where_they_end(text: str, count: int) -> None:
    assert len(sentences(text)) == count


def test_only_a_whole_sentence_that_asks_is_a_question() -> None:
    assert is_question("Q: What is the fee?") == "What is the fee?"
    assert is_question("What is the fee? It is low.") is None
    assert is_question("Why?") is None
    assert is_question("What is " + "very " * 40 + "long?") is None
