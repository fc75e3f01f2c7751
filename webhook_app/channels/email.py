"""E-mail by SMTP, as text and simple HTML. The messages of an incident form one conversation."""

import smtplib
import ssl
from collections.abc import Sequence
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.connections.smtp_client import Smtp, SmtpOverTls
from webhook_app.channels.findings import FindingMessage, compose_findings
from webhook_app.channels.incident_text import Digest, MessageText, compose, compose_digest, plain_text
from webhook_app.channels.notification import Notification
from webhook_app.rules.accounts.names import with_names

TIMEOUT_S = 15.0  # for each read and write

_SCHEMES: dict[str, tuple[Literal["none", "starttls", "tls"], int]] = {
    "smtp": ("none", 25),
    "smtp+starttls": ("starttls", 587),
    "starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}
_UNFOLDED = SMTP.clone(
    max_line_length=900
)  # some clients show a space where a subject was folded before its first word
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DIGEST_FROM = 6
_DIGEST_SIZE = 100


class SmtpServer(Struct, frozen=True):
    """The address and credentials of an SMTP server."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    user: str = ""
    password: str = ""


def read_smtp_url(url: str) -> SmtpServer:
    """Parse smtp://, starttls:// or smtps://. ValueError names the fault without any credentials."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"must begin with {'://, '.join(_SCHEMES)}://")
    if not parts.hostname:
        raise ValueError("has no server name")
    security, port = _SCHEMES[parts.scheme]
    try:
        port = parts.port or port
    except ValueError:
        raise ValueError("the port must be a number up to 65535") from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and security == "none" and parts.hostname not in _LOOPBACK:
        raise ValueError("would send the password unencrypted: use starttls:// or smtps://")
    return SmtpServer(parts.hostname, port, security, user, password)


def read_addresses(text: str) -> tuple[str, ...]:
    """Parse addresses separated by commas. ValueError names the first invalid one."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for address in found:
        read_address(address)
    return found


def read_address(text: str) -> str:
    """Validate one plain address. ValueError if it is invalid."""
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, HeaderParseError):
        raise ValueError(f"{text!r} is not an e-mail address") from None
    if not address.username or not address.domain:
        raise ValueError(f"{text!r} is not an e-mail address")
    return text


class Email:
    """One SMTP server, and the addresses that get every message."""

    name = "email"
    pace_s = 0.0
    digest_from = _DIGEST_FROM
    digest_size = _DIGEST_SIZE

    def __init__(
        self,
        server: SmtpServer,
        sender: str,
        addresses: Sequence[str],
        timeout_s: float = TIMEOUT_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._sender = sender
        self._addresses = tuple(addresses)
        self._timeout_s = timeout_s
        self._context = context or ssl.create_default_context()

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Send it to all addresses. Raises SendError."""
        del earlier  # the message that it refers to is derived
        self._submit(alert_mail(notification, self._sender, self._addresses))

    def send_digest(self, notifications: Sequence[Notification]) -> None:
        """Send one message that lists each incident."""
        self._submit(digest_mail(notifications, self._sender, self._addresses))

    def send_findings(self, message: FindingMessage) -> None:
        """Send it to all addresses. Raises SendError."""
        self._submit(finding_mail(message, self._sender, self._addresses))

    def _submit(self, mail: EmailMessage) -> None:
        try:
            with self._connect() as server:
                refused = server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as fault:
            raise self._refused(fault.recipients) from fault
        except smtplib.SMTPNotSupportedError as fault:
            raise SendError(f"the mail server does not support it: {fault}", permanent=True) from fault
        except smtplib.SMTPResponseException as fault:
            reply = _reply_text(fault.smtp_code, fault.smtp_error)
            raise SendError(f"the mail server answered {reply}", permanent=fault.smtp_code >= 500) from fault
        except (OSError, smtplib.SMTPException) as fault:
            kind = type(fault).__name__
            raise SendError(f"the mail server cannot be reached ({kind})", permanent=False) from fault
        if refused:  # the other addresses have it, and would get it twice after a retry
            raise SendError(str(self._refused(refused)), permanent=True)

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        opened = (
            SmtpOverTls(server.host, server.port, timeout=self._timeout_s, context=self._context)
            if server.security == "tls"
            else Smtp(server.host, server.port, timeout=self._timeout_s)
        )
        try:
            if server.security == "starttls":
                opened.starttls(context=self._context)
            if server.user:
                opened.login(server.user, server.password)
        except BaseException:
            opened.close()
            raise
        return opened

    def _refused(self, recipients: dict[str, tuple[int, bytes]]) -> SendError:
        codes = sorted({code for code, _ in recipients.values()})
        words = f"the mail server refused {len(recipients)} of {len(self._addresses)} addresses: {codes}"
        return SendError(words, permanent=all(code >= 500 for code in codes))


def alert_mail(notification: Notification, sender: str, addresses: Sequence[str]) -> EmailMessage:
    """The message. Its subject is the same for the whole incident, since mail programs also thread by subject."""
    message, first = compose(notification), notification.reason in ("fired", "past")
    title = with_names(notification.title, notification.names)
    subject = f"Incident {notification.incident_id}: {title}"
    root = f"<incident-{notification.incident_id}-{notification.opened_at:%Y%m%d%H%M%S}@{_domain(sender)}>"
    mail = _mail(sender, addresses, subject if first else f"Re: {subject}")
    mail["Date"] = format_datetime(notification.at)
    mail["Message-ID"] = root if first else f"<notification-{notification.id}.{root[1:]}"
    if not first:
        mail["In-Reply-To"] = mail["References"] = root
    if notification.severity == "critical" and not notification.is_over:
        mail["Importance"] = "high"
    mail.set_content(plain_text(message))
    mail.add_alternative(_html(message), subtype="html")
    return mail


def digest_mail(notifications: Sequence[Notification], sender: str, addresses: Sequence[str]) -> EmailMessage:
    """One message about several incidents."""
    digest, last = compose_digest(notifications), notifications[-1]
    mail = _mail(sender, addresses, digest.headline)
    mail["Date"] = format_datetime(last.at)
    mail["Message-ID"] = f"<digest-{notifications[0].id}-{last.id}-{last.at:%Y%m%d%H%M%S}@{_domain(sender)}>"
    mail.set_content("\n".join(f"{text}\n  {url}" if url else text for text, url in digest.lines))
    mail.add_alternative(_digest_html(digest), subtype="html")
    return mail


def finding_mail(message: FindingMessage, sender: str, addresses: Sequence[str]) -> EmailMessage:
    """One message about findings, in no conversation."""
    composed = compose_findings(message)
    mail = _mail(sender, addresses, composed.headline)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<finding-{message.id}-{message.at:%Y%m%d%H%M%S}@{_domain(sender)}>"
    mail.set_content(plain_text(composed))
    mail.add_alternative(_html(composed), subtype="html")
    return mail


def _mail(sender: str, addresses: Sequence[str], subject: str) -> EmailMessage:
    mail = EmailMessage(policy=_UNFOLDED)
    mail["From"] = Address("webhook_app", addr_spec=sender)
    mail["To"] = [Address(addr_spec=address) for address in addresses]
    mail["Subject"] = " ".join(subject.split()).replace(
        "=?", "= ?"
    )  # not to be decoded as an encoded word (RFC 2047)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents automatic replies
    return mail


def _html(message: MessageText) -> str:
    rows = "".join(
        f'<tr><th align="left" valign="top">{escape(label)}</th><td>{escape(text)}</td></tr>'
        for label, text in message.facts
    )
    links = " · ".join(f'<a href="{escape(url)}">{escape(label)}</a>' for label, url in message.links)
    return (
        f"<html><body><h2>{escape(message.headline)}</h2><table cellpadding='4'>{rows}</table>"
        f"<p>{links}</p><p><small>{escape(message.footer)}</small></p></body></html>"
    )


def _digest_html(digest: Digest) -> str:
    lines = "".join(
        f'<li><a href="{escape(url)}">{escape(text)}</a></li>' if url else f"<li>{escape(text)}</li>"
        for text, url in digest.lines
    )
    return f"<html><body><h2>{escape(digest.headline)}</h2><ol>{lines}</ol></body></html>"


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _reply_text(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", errors="replace") if isinstance(reply, bytes) else str(reply)
    return f"{code} {' '.join(text.split())[:200]!r}"
