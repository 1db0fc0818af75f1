"""Requests as records: what MLflow could read in another way than the guard is refused."""

import json

import pytest
from graphql import OperationDefinitionNode, OperationType, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.registry_guard.changes import Change, graphql_refusal, read_change

SET_TAG = {"name": "demo", "version": "3", "key": "approval", "value": "approved"}


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_change_carries_what_the_request_says() -> None:
    assert read_change("set_version_tag", body(SET_TAG)) == Change(
        "set_version_tag", "demo", "3", "approval", "approved"
    )
    assert read_change("set_alias", body({"name": "demo", "alias": "champion", "version": "12"})) == Change(
        "set_alias", "demo", "12", alias="champion"
    )
    assert read_change("rename_model", body({"name": "demo", "newName": "new"})) == Change(
        "rename_model", "demo", new_name="new"
    )


def test_the_tags_of_a_new_version_are_read_as_well() -> None:
    given_tags = [{"key": "approval", "value": "approved"}, {"key": "empty"}]
    change = read_change("create_version", body({"name": "demo", "source": "runs:/1/m", "tags": given_tags}))
    assert isinstance(change, Change)
    assert change.tags == {"approval": "approved", "empty": ""}


@pytest.mark.parametrize(
    ("kind", "sent", "message"),
    [
        ("set_version_tag", b"{", "is no JSON"),
        ("set_version_tag", body({**SET_TAG, "value": "x" * 1_000_000}), "send at most"),
        ("set_version_tag", b"[" * 100_000, "is no JSON"),
        ("set_version_tag", b"\xff\xfe\x00", "is no JSON"),
        ("set_version_tag", b"", "name is missing"),
        ("set_version_tag", b"[]", "not an object"),
        ("set_version_tag", b"null", "not an object"),
        # old clients encoded twice, and MLflow still takes it
        ("set_version_tag", body(json.dumps(SET_TAG)), "not an object"),
        ("set_version_tag", b'{"name": "demo", "name": "other"}', "'name' twice"),
        ("set_version_tag", b'{"name": "demo", "n\\u0061me": "other"}', "'name' twice"),
        ("create_version", b'{"name": "demo", "tags": [{"key": "a", "key": "approval"}]}', "'key' twice"),
        ("set_version_tag", body({**SET_TAG, "version": 3}), "version is 3, not a text"),
        ("set_version_tag", body({**SET_TAG, "version": "03"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": " 3"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": "+3"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": "1_0"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": "٣"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": "3\n"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": "0"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": "9999999999"}), "plain number"),
        ("set_version_tag", body({**SET_TAG, "version": None}), "version is missing"),
        ("set_version_tag", body({**SET_TAG, "name": ""}), "name is empty"),
        ("set_version_tag", body({**SET_TAG, "name": ["demo"]}), "not a text"),
        ("set_version_tag", body({**SET_TAG, "key": {}}), "not a text"),
        ("set_version_tag", body({**SET_TAG, "value": True}), "not a text"),
        ("set_version_tag", b'{"name": "demo", "version": "3", "key": "\\ud800", "value": ""}', "no Unicode text"),
        ("rename_model", body({"name": "demo", "newName": "a", "new_name": "b"}), "'new_name' and 'newName'"),
        ("create_version", body({"name": "demo", "tags": {"approval": "approved"}}), "not a list"),
        ("create_version", body({"name": "demo", "tags": ["approval"]}), "send key and value"),
        ("create_version", body({"name": "demo", "tags": [{"key": "a", "Value": "b"}]}), "send key and value"),
        ("create_version", body({"name": "demo", "tags": [{"key": "a", "value": 1}]}), "not a text"),
        ("create_version", body({"name": "demo", "tags": [{"key": "a"}, {"key": "a"}]}), "given twice"),
    ],
)
def test_a_request_with_two_readings_is_refused_with_the_reason(kind: str, sent: bytes, message: str) -> None:
    reason = read_change(kind, sent)
    assert isinstance(reason, str)
    assert message in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    "query", [[("name", "other")], [("name", "demo"), ("name", "other")], [("alias", "champion")], [("newName", "x")]]
)
def test_parameters_of_the_url_may_not_say_something_else_than_the_body(query: list[tuple[str, str]]) -> None:
    assert "in the URL" in str(read_change("set_version_tag", body(SET_TAG), query))


def test_parameters_of_the_url_that_say_the_same_or_nothing_of_ours_are_passed_over() -> None:
    assert isinstance(read_change("set_version_tag", body(SET_TAG), [("name", "demo"), ("colour", "red")]), Change)


def test_no_password_or_secret_gets_into_what_the_ledger_keeps() -> None:
    sent = {
        "username": "ann",
        "password": "s3cret",
        "secret": "s3cret",
        "url": "https://u:s3cret@host.example/s3cret?s3cret",
    }
    for kind in ("create_user", "set_password", "create_webhook", "update_webhook"):
        change = read_change(kind, body(sent), path={"webhook_id": "w1"})
        assert "s3cret" not in repr(change)
        assert isinstance(change, Change)
        assert change.details["host"] == "host.example"
        assert change.details["webhook_id"] == "w1"
    form = read_change("create_user", b"username=ann&password=s3cret&csrf_token=s3cret")
    assert form == Change("create_user", details={"username": "ann"})


@pytest.mark.parametrize("url", ["https://[bad", "", None, 7])
def test_an_address_that_is_none_is_left_out(url: object) -> None:
    change = read_change("create_webhook", body({"name": "w", "url": url}))
    assert change == Change("create_webhook", details={"name": "w"})


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(SET_TAG)), st.text() | st.integers() | st.none()))
def test_whatever_is_sent_the_answer_is_a_change_or_a_sentence(sent: dict[str, object]) -> None:
    found = read_change("set_version_tag", body(sent))
    if isinstance(found, Change):
        assert {"name": found.model, "version": found.version, "key": found.key, "value": found.value} == sent
    else:
        assert found


# --- GraphQL ---

QUERIES = [
    '{ mlflowGetRun(input: {runId: "1"}) { run { info { runId } } } }',
    "query Get($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { apiError { message } } }",
]
MUTATIONS = [
    'mutation { testMutation(inputString: "x") { echo } }',
    'mutation{testMutation(inputString:"x"){echo}}',
    '#query\nmutation M { testMutation(inputString: "x") { echo } }',
    'query Q { __typename } mutation M { testMutation(inputString: "x") { echo } }',
    ",,,\ufeffmutation M { testMutation { echo } }",
    "subscription { x }",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_graphql_query_passes(query: str) -> None:
    assert graphql_refusal(body({"query": query, "operationName": "Q"})) is None


@pytest.mark.parametrize("query", MUTATIONS)
def test_a_graphql_mutation_is_refused_however_it_is_written(query: str) -> None:
    operations = {one.operation for one in parse(query).definitions if isinstance(one, OperationDefinitionNode)}
    assert operations - {OperationType.QUERY}  # the reference parser says that it is one
    assert "mutation" in str(graphql_refusal(body({"query": query})))


@pytest.mark.parametrize(
    "sent",
    [b"", b"[]", body([{"query": QUERIES[0]}]), body({"query": 1}), b'{"query": "{a}", "query": "mutation {b}"}'],
)
def test_a_graphql_request_that_is_no_single_query_is_refused(sent: bytes) -> None:
    assert graphql_refusal(sent)
