"""Notifications through real saved blocks, to a real web server and a simulated mail server; failures stay harmless."""

import json
import logging
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MicrosoftTeamsWebhook, SlackWebhook
from prefect.blocks.system import Secret
from pydantic import SecretStr, ValidationError

from infra.notify import Message, tell, why
from infra.smtp_email import SmtpEmail

MESSAGE = Message(kind="promoted", subject="shop version 3 is champion", text="It serves.", url="http://m/#/3")
SECRET = "T0PSECRETTOKEN"


# --- outside parties ---


class WebServer(ThreadingHTTPServer):
    """Takes posts, answers by path: /hang waits, /fail is 500, all else 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Posts)
        self.got: list[tuple[str, bytes]] = []
        self.over = threading.Event()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Posts(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        assert isinstance(self.server, WebServer)
        self.server.got.append((self.path, body))
        if "/hang" in self.path:
            self.server.over.wait(30)
        self.send_response(500 if "/fail" in self.path else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()


class SimulatedMailServer:
    """Speaks as much SMTP as one message takes, with STARTTLS where it has a certificate. Keeps what it heard."""

    def __init__(self, certificate: Path | None = None, refuse: str = "", code: int = 550) -> None:
        self.heard: list[str] = []
        self.mails: list[str] = []
        self.encrypted = False
        self._certificate, self._refuse, self._code = certificate, refuse, code
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        connection.sendall(b"220 simulated\r\n")
        lines = connection.makefile("rb")
        while line := lines.readline().decode().strip():
            self.heard.append(line)
            word = line.split()[0].upper()
            if word == "STARTTLS" and self._certificate is not None:
                connection.sendall(b"220 go\r\n")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._certificate)
                try:
                    connection = context.wrap_socket(connection, server_side=True)
                except ssl.SSLError:
                    return
                lines, self.encrypted = connection.makefile("rb"), True
                continue
            if self._refuse and line.startswith(self._refuse):
                answer = f"{self._code} no {SECRET}"
            elif word == "EHLO":
                extra = "250-STARTTLS\r\n" if self._certificate is not None and not self.encrypted else ""
                answer = f"250-simulated\r\n{extra}250 AUTH PLAIN"
            elif word == "DATA":
                connection.sendall(b"354 go\r\n")
                mail = []
                while (part := lines.readline()) != b".\r\n":
                    mail.append(part.decode())
                self.mails.append("".join(mail))
                answer = "250 taken"
            else:
                answer = {"AUTH": "235 in", "QUIT": "221 bye"}.get(word, "250 ok")
            connection.sendall(answer.encode() + b"\r\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    return file


class Broken(NotificationBlock):
    """Somebody's block with an error in it that says a secret."""

    _block_type_slug = "test-broken"
    how: str = "raise"

    def notify(self, body: str, subject: str | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.how == "exit":
            raise SystemExit(SECRET)
        raise KeyError(f"https://hooks.example/{SECRET}")


class Awaited(NotificationBlock):
    """A block that is asynchronous only, as Prefect's base class declares it."""

    _block_type_slug = "test-awaited"
    told: ClassVar[list[str]] = []

    async def notify(self, body: str, subject: str | None = None) -> None:
        self.told.append(f"{subject}: {body}")


@contextmanager
def quiet_about_the_secret(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing that any library logs or prints, at any level, holds the secret."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "apprise", "urllib3", "nightshift"):
        caplog.set_level(logging.DEBUG, name)
    yield
    assert SECRET not in caplog.text
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def hook(url: str, timeout: float = 10) -> CustomWebhookNotificationBlock:
    texts = {"title": "{{subject}}", "text": "{{body}}"}
    return CustomWebhookNotificationBlock(
        name="hook", url=url, json_data=texts, headers=None, cookies=None, timeout=timeout
    )


# --- through saved blocks ---


@pytest.mark.usefixtures("prefect_server")
def test_a_message_reaches_every_block_at_once(web: WebServer) -> None:
    SlackWebhook(url=SecretStr(f"json://{web.place}/{SECRET}/slack")).save("told", overwrite=True)
    hook(f"http://{web.place}/hook").save("told", overwrite=True)
    Awaited().save("told", overwrite=True)
    mail = SimulatedMailServer()
    SmtpEmail(host="127.0.0.1", port=mail.port, encryption="none", sender="n@example.org", to=["a@example.org"]).save(
        "told", overwrite=True
    )
    names = ("slack-webhook/told", "custom-webhook/told", "test-awaited/told", "nightshift-smtp-email/told")
    assert tell(names, MESSAGE, seconds=60) == []
    posts = {path: json.loads(body) for path, body in web.got}
    assert posts["/hook"] == {"title": MESSAGE.subject, "text": MESSAGE.body}
    assert posts[f"/{SECRET}/slack"]["title"] == MESSAGE.subject
    assert "http://m/#/3" in posts[f"/{SECRET}/slack"]["message"]
    assert Awaited.told == [f"{MESSAGE.subject}: {MESSAGE.body}"]
    assert f"Subject: {MESSAGE.subject}" in mail.mails[0]


@pytest.mark.usefixtures("prefect_server")
def test_whatever_fails_is_one_sentence_without_the_address_and_the_others_are_told(
    web: WebServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hook(f"http://{web.place}/hook").save("good", overwrite=True)
    hook(f"http://{web.place}/fail/{SECRET}").save("answers-500", overwrite=True)
    hook(f"http://127.0.0.1:1/{SECRET}").save("down", overwrite=True)
    hook(f"no address {SECRET}").save("garbage", overwrite=True)
    SlackWebhook(url=SecretStr(f"json://{web.place}/fail/{SECRET}")).save("answers-500", overwrite=True)
    SlackWebhook(url=SecretStr(f"::{SECRET}::")).save("garbage", overwrite=True)
    Broken().save("raises", overwrite=True)
    Broken(how="exit").save("exits", overwrite=True)
    Secret(value=SecretStr(SECRET)).save("a-password", overwrite=True)
    expected = {
        "custom-webhook/answers-500": "the service answered 500",
        "custom-webhook/down": "it can't be reached (ConnectError)",
        "custom-webhook/garbage": "it can't be reached (UnsupportedProtocol)",
        "slack-webhook/answers-500": "the service answered 500",
        "slack-webhook/garbage": "it can't be reached, or its address isn't one",
        "test-broken/raises": "the block is set up wrongly, or fails by itself (KeyError)",
        "test-broken/exits": "the block ended without a word",
        "secret/a-password": "it is no notification block",
        "slack-webhook/never-saved": "no block of that name is saved in Prefect",
        "no-such-type/x": "no block of that name is saved in Prefect",
    }
    with quiet_about_the_secret(caplog, capfd):
        found = tell((*expected, "custom-webhook/good"), MESSAGE, seconds=60)
    assert found == [f"nobody was told of 'promoted' through {name}: {words}" for name, words in expected.items()]
    assert [path for path, _ in web.got if path == "/hook"] == ["/hook"]
    assert [one.getMessage() for one in caplog.records if one.name == "nightshift.notify"] == found
    talked = {one.name for one in caplog.records if one.threadName == "nightshift-notify"}
    assert talked.isdisjoint({"httpx", "httpcore.connection", "httpcore.http11", "urllib3.connectionpool"})


@pytest.mark.usefixtures("prefect_server")
def test_a_block_that_hangs_is_waited_for_no_longer_than_asked(web: WebServer) -> None:
    hook(f"http://{web.place}/hang", timeout=60).save("slow", overwrite=True)
    begun = time.monotonic()
    found = tell(("custom-webhook/slow",), MESSAGE, seconds=2)
    assert found == ["nobody was told of 'promoted' through custom-webhook/slow: no answer within 2 s"]
    assert time.monotonic() - begun < 10
    # its thread doesn't hold up the end of the process
    assert all(one.daemon for one in threading.enumerate() if one.name == "nightshift-notify")


@pytest.mark.parametrize("name", ["slack", "", "a/b/c", f"https://hooks.example/{SECRET}", "../x", "slack-webhook/"])
def test_a_name_that_is_none_of_a_block_is_refused_without_repeating_it(name: str) -> None:
    (found,) = tell((name,), MESSAGE, seconds=30)
    assert "write it like slack-webhook/on-call" in found
    assert SECRET not in found


def test_nobody_to_tell_is_no_problem() -> None:
    assert tell((), MESSAGE) == []


def test_a_prefect_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        (found,) = tell(("slack-webhook/on-call",), MESSAGE, seconds=8)
    assert found.startswith("nobody was told of 'promoted' through slack-webhook/on-call: ")


def test_an_error_is_told_by_its_kind_never_by_its_own_words() -> None:
    request = httpx.Request("POST", f"https://hooks.example/{SECRET}")
    errors: list[Exception] = [
        httpx.HTTPStatusError(SECRET, request=request, response=httpx.Response(403, request=request)),
        httpx.ReadTimeout(SECRET),
        httpx.ConnectError(SECRET),
        NotificationError(f"Failed to send to https://hooks.example/{SECRET}: error=404."),
        NotificationError(SECRET),
        smtplib.SMTPAuthenticationError(535, SECRET.encode()),
        smtplib.SMTPRecipientsRefused({f"{SECRET}@example.org": (550, b"no")}),
        smtplib.SMTPNotSupportedError(SECRET),
        ConnectionRefusedError(111, SECRET),
        ValueError(SECRET),
    ]
    said = [why(error) for error in errors]
    assert SECRET not in " ".join(said)
    assert [one for one in said if any(code in one for code in ("403", "404", "535"))] == [
        "the service answered 403",
        "the service answered 404",
        "the mail server answered 535",
    ]


def test_a_teams_address_that_is_none_is_refused_when_the_block_is_made() -> None:
    with pytest.raises(ValueError, match="Invalid Microsoft Teams"):
        MicrosoftTeamsWebhook(url=SecretStr("https://example.org/nothing"))


# --- e-mail ---


def email(at: int, **changes: Any) -> SmtpEmail:
    how: dict[str, Any] = {"host": "127.0.0.1", "port": at, "sender": "night@example.org", "to": ["a@example.org"]}
    return SmtpEmail(**(how | {"encryption": "none", "timeout": 5} | changes))


def test_an_email_has_sender_recipients_subject_and_text(certificate: Path) -> None:
    server = SimulatedMailServer()
    email(server.port, to=["a@example.org", "b@example.org"]).notify("Grüße\n\nhttp://m/#/3", "two\r\nBcc: x@y.z")
    assert [line for line in server.heard if line.startswith("rcpt TO:")] == [
        "rcpt TO:<a@example.org>",
        "rcpt TO:<b@example.org>",
    ]
    (mail,) = server.mails
    assert "From: night@example.org" in mail
    assert "Subject: two Bcc: x@y.z\r\n" in mail  # and no header of its own


def test_login_and_message_go_through_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = SimulatedMailServer(certificate)
    how = {"host": "localhost", "encryption": "starttls", "username": "night", "password": SECRET}
    email(server.port, **how).notify("text", "subject")
    assert server.encrypted
    assert server.heard.index("STARTTLS") < next(i for i, line in enumerate(server.heard) if line.startswith("AUTH"))
    assert len(server.mails) == 1


def test_a_server_whose_certificate_is_not_trusted_gets_no_password(certificate: Path) -> None:
    server = SimulatedMailServer(certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        email(server.port, host="localhost", encryption="starttls", username="night", password=SECRET).notify("x", "y")
    assert not any(line.startswith("AUTH") for line in server.heard)
    assert server.mails == []


def test_a_server_without_starttls_gets_neither_password_nor_message() -> None:
    server = SimulatedMailServer()
    with pytest.raises(smtplib.SMTPNotSupportedError):
        email(server.port, encryption="starttls", username="night", password=SECRET).notify("x", "y")
    assert not any(line.startswith(("AUTH", "mail")) for line in server.heard)


def test_a_refused_recipient_is_a_failure_even_if_others_were_taken() -> None:
    server = SimulatedMailServer(refuse="rcpt TO:<b@")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        email(server.port, to=["a@example.org", "b@example.org"]).notify("x", "y")
    assert list(refused.value.recipients) == ["b@example.org"]
    assert why(refused.value) == "the mail server refused 1 recipient(s)"


def test_a_mail_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(smtplib.SMTPServerDisconnected):
        email(silent.getsockname()[1], timeout=0.5).notify("x", "y")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "mail.example.org", "encryption": "none", "password": SECRET},
        {"to": []},
        {"host": ""},
        {"encryption": "ssl"},
        {"port": 0},
    ],
)
def test_an_email_block_that_is_set_up_wrongly_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        email(25, **changes)


def test_a_password_is_hidden_wherever_the_block_is_shown() -> None:
    block = email(25, password=SECRET)
    assert SECRET not in repr(block) + str(block) + block.model_dump_json()
