"""E-mail by SMTP as a Prefect notification block: Prefect itself brings e-mail by SendGrid only."""

import ipaddress
import smtplib
import ssl
from email.message import EmailMessage
from typing import Literal

from prefect.blocks.abstract import NotificationBlock
from pydantic import Field, SecretStr, model_validator

PORTS = {"tls": 465, "starttls": 587, "none": 25}


class SmtpEmail(NotificationBlock):
    """Sends e-mail through a mail server. A password never travels in the clear to another machine."""

    _block_type_name = "Nightshift SMTP e-mail"
    _block_type_slug = "nightshift-smtp-email"
    _description = "E-mail through a mail server (SMTP)."

    host: str = Field(min_length=1, description="The mail server.")
    encryption: Literal["tls", "starttls", "none"] = Field(
        default="starttls", description="TLS from the start, STARTTLS, or none (no password then, but on this machine)."
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Unset: 465, 587 or 25, by encryption.")
    username: str = Field(default="", description="Unset: no login.")
    password: SecretStr = Field(default=SecretStr(""), description="The login's password.")
    sender: str = Field(min_length=3, description="From whom.")
    to: list[str] = Field(min_length=1, description="To whom.")
    timeout: float = Field(default=10, gt=0, le=120, description="Seconds to wait for the server's answer.")

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> "SmtpEmail":
        if self.encryption == "none" and self.password.get_secret_value() and not _this_machine(self.host):
            raise ValueError("a password needs encryption = starttls or tls")
        return self

    def notify(self, body: str, subject: str | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Send an e-mail.

        Raises:
            SMTPException, OSError: it could not be sent to all recipients.
        """
        with self._connected() as server:
            if self.username:
                server.login(self.username, self.password.get_secret_value())
            refused = server.send_message(self._email(body, subject or ""))
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)

    def _connected(self) -> smtplib.SMTP:
        port = self.port or PORTS[self.encryption]
        context = ssl.create_default_context()
        if self.encryption == "tls":
            return smtplib.SMTP_SSL(self.host, port, timeout=self.timeout, context=context)
        server = smtplib.SMTP(self.host, port, timeout=self.timeout)
        if self.encryption == "starttls":
            try:
                server.starttls(context=context)  # raises where the server can't: nothing goes on without
            except (smtplib.SMTPException, OSError):
                server.close()
                raise
        return server

    def _email(self, body: str, subject: str) -> EmailMessage:
        email = EmailMessage()
        email["From"], email["To"] = self.sender, ", ".join(self.to)
        email["Subject"] = " ".join(subject.split())  # a line break in it would begin another header
        email.set_content(body)
        return email


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
