"""meter: the night's bill so far."""

from infra.attempts import attempts_of
from infra.price_book import load_price_book
from infra.step import attempt_log
from tasks import place
from tasks.contracts import Bill, Night
from tasks.cost.bill import bill_metrics, make_bill


def meter(night: Night) -> Bill:
    """Price all attempts of this night, earlier runs of it included, and log them. Not a step: it is never reused."""
    book = place.settings().price_book
    bill = make_bill(attempts_of(attempt_log(night).entries(), running=True), load_price_book(book), book.name)
    place.tracking().metrics(night.mlflow_run, bill_metrics(bill))
    return bill
