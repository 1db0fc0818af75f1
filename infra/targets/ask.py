"""Ask an OpenAI-compatible server: which models it serves, and one greedy answer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx

from infra.errors import TargetError
from infra.targets.http import as_object, client, host_of, send, shown


class Endpoint(NamedTuple):
    """``url``: base URL, up to and without ``/chat/completions``. ``model``: its name in requests, if it is fixed."""

    url: str
    key: str = ""
    model: str | None = None


class Listed(NamedTuple):
    """A model that a server lists. vLLM's ``root`` is the folder, URL or adapter that it was loaded from."""

    id: str
    root: str = ""


class Answer(NamedTuple):
    """``logprobs``: of the answer's tokens, in nats; empty where the server gives none."""

    text: str
    model: str
    logprobs: tuple[float, ...] = ()


class Asker:
    """A client of one endpoint. Use it as a context manager.

    Args:
        timeout: seconds, for connecting and between two reads.
    """

    def __init__(self, endpoint: Endpoint, timeout: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._client = client(endpoint.url, timeout, headers)
        self._base, self._key, self._host = endpoint.url.rstrip("/"), endpoint.key, host_of(endpoint.url)
        self._logprobs = True

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def models(self) -> list[Listed]:
        """What the server lists; empty where it has no such list.

        Raises:
            TargetError: it doesn't answer, or refuses.
        """
        status, body, _ = send(self._client, "GET", f"{self._base}/models")
        if status == httpx.codes.NOT_FOUND:
            return []
        self._refuse(status, body, "its models")
        rows = as_object(body, self._host).get("data")
        found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return [Listed(str(row.get("id", "")), str(row.get("root") or "")) for row in found]

    def answer(self, model: str, messages: Sequence[dict[str, str]], max_tokens: int) -> Answer:
        """The greedy answer, with log-probabilities where the server gives them.

        Raises:
            TargetError: it doesn't answer, refuses, or its answer isn't a chat completion.
        """
        body = {
            "model": model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": max_tokens,
            "seed": 0,
            "stream": False,
        }
        url = f"{self._base}/chat/completions"
        status, raw, _ = send(self._client, "POST", url, json=body | ({"logprobs": True} if self._logprobs else {}))
        if self._logprobs and status in (400, 422, 501):
            self._logprobs = False  # a server that doesn't know the option refuses the request
            status, raw, _ = send(self._client, "POST", url, json=body)
        self._refuse(status, raw, f"the model {model}")
        return read_answer(as_object(raw, self._host), self._host)

    def _refuse(self, status: int, body: bytes, what: str) -> None:
        if status != httpx.codes.OK:
            raise TargetError(
                f"{self._host} was asked for {what} and says {status}: {shown(body, self._key)}",
                do="see whether the server is up, and the endpoint's URL, key and model name are right",
            )


def read_answer(body: dict[str, Any], where: str) -> Answer:
    """The answer in a chat completion.

    Raises:
        TargetError: it isn't one.
    """
    try:
        choice = body["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        text, choice = None, {}
    if text is None and choice:
        text = ""  # servers say null where a model ends its turn at once
    if not isinstance(text, str):
        raise TargetError(
            f"{where} answers with no chat completion", do="see whether it is an OpenAI-compatible server"
        )
    return Answer(text, str(body.get("model", "")), _logprobs(choice))


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...]:
    """Of the answer's tokens; nothing where they are missing or not all numbers."""
    part = choice.get("logprobs")
    rows = part.get("content") if isinstance(part, dict) else None
    if not isinstance(rows, list):
        return ()
    found = [row.get("logprob") if isinstance(row, dict) else None for row in rows]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in found):
        return ()
    return tuple(float(one) for one in found if one is not None)
