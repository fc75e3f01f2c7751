"""Mail as a real server on loopback receives it: text and HTML, one conversation per incident."""

import email
import email.policy
import socket
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec.structs import replace

from tests.channels.notifications import NOW, UNDELIVERABLE, notification
from tests.support.certificates import make_certificate
from webhook_app.channels import SendError
from webhook_app.channels.email import Email, SmtpServer, read_addresses, read_smtp_url

TO = ("ops@example.org", "boss@example.org")


class Sink:
    """Accepts every mail except for the refused addresses."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refused: dict[str, str] = {}
        self.answer = "250 OK"
        self.credentials: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(  # noqa: N802 the server's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        held = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        assert isinstance(held, EmailMessage)
        if self.answer.startswith("250"):
            self.mails.append(held)
        return self.answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.credentials.append((given.login, given.password))
        return AuthResult(success=given.password == b"p@ss", handled=False)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def serve(sink: Sink) -> Iterator[Callable[..., int]]:
    """Starts the server and gives its port."""
    started: list[Controller] = []

    def start(**more: Any) -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        controller = Controller(sink, hostname="127.0.0.1", port=port, **more)
        controller.start()
        started.append(controller)
        return port

    yield start
    for controller in started:
        controller.stop()


@pytest.fixture
def tcp_silence() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def channel(port: int, **more: Any) -> Email:
    server = SmtpServer("127.0.0.1", port, "none")
    return Email(replace(server, **more), "alerts@example.org", TO, timeout_s=2.0)


def test_it_arrives_as_text_and_as_html_with_every_fact(sink, serve):
    rude = replace(UNDELIVERABLE, meaning="a <b> & é")
    channel(serve()).send(notification(codes=(rude,)))
    [mail] = sink.mails
    assert mail["Subject"] == "Incident 12: 131026 Message undeliverable, business number 590238114470021"
    assert (mail["From"], mail["To"]) == ("webhook_app <alerts@example.org>", ", ".join(TO))
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content().startswith("WARNING: 131026 Message undeliverable")
    assert "What broke: 131026 Message undeliverable (unreachable). a <b> & é" in text.get_content()
    assert "a &lt;b&gt; &amp; é" in html.get_content()
    assert 'href="https://alerts.example/incidents/12"' in html.get_content()


def test_an_incident_is_one_conversation_and_two_are_two(sink, serve):
    sender = channel(serve())
    mails = [
        replace(notification(), id=1),
        replace(notification(reason="escalated", severity="critical"), id=2),
        replace(notification(reason="resolved", severity="critical", resolved_at=NOW), id=3),
        replace(notification(reason="again", again=1), id=4),
        replace(notification(incident_id=13), id=5),
        replace(notification(incident_id=14, reason="past", severity="critical", resolved_at=NOW), id=6),
    ]
    for one in mails:
        sender.send(one)
    first, *replies, other, past = sink.mails
    for reply in replies:
        assert reply["In-Reply-To"] == reply["References"] == first["Message-ID"]
        assert reply["Subject"] == f"Re: {first['Subject']}"
    assert len({mail["Message-ID"] for mail in sink.mails}) == 6
    assert (other["In-Reply-To"], past["In-Reply-To"]) == (None, None)
    assert [mail["Importance"] for mail in sink.mails] == [None, "high", None, None, None, None]


def test_the_same_message_again_is_the_same_to_mail_programs(sink, serve):
    sender, mails = channel(serve()), replace(notification(reason="repeated"), id=5)
    sender.send(mails)
    sender.send(mails)
    assert sink.mails[0]["Message-ID"] == sink.mails[1]["Message-ID"]


def test_a_digest_is_one_mail_that_lists_each_incident(sink, serve):
    several = [notification(incident_id=number, title=f"131026, country C{number}:") for number in range(20)]
    channel(serve()).send_digest(several)
    [mail] = sink.mails
    assert mail["Subject"] == "News of 20 incidents: 20 opened"
    body = mail.get_body(("plain",))
    assert body is not None
    places = [body.get_content().index(f"country C{number}:") for number in range(20)]
    assert places == sorted(places)


def test_no_text_can_add_a_header(sink, serve):
    channel(serve()).send(notification(title="BR\nBcc: x@example.org"))
    assert sink.mails[0]["Bcc"] is None


@pytest.mark.parametrize(
    "value", ["=?utf-8?q?1=0D=0AReply-To:_e@evil.example=0D=0A=0D=0APay_here?=", "=?utf-7?q?+2AA-?="]
)
def test_a_name_that_is_an_encoded_word_is_only_a_name(sink, serve, value):
    channel(serve()).send(notification(title=f"131053 Media upload error, business number {value}"))
    [mail] = sink.mails
    assert mail["Reply-To"] is None
    assert "business number = ?utf-" in mail["Subject"]


@pytest.mark.parametrize(
    ("refused", "permanent"),
    [
        ({TO[0]: "550 no such user"}, True),
        ({TO[0]: "450 busy"}, True),
        (dict.fromkeys(TO, "550 no such user"), True),
        (dict.fromkeys(TO, "450 busy"), False),
        ({TO[0]: "550 no such user", TO[1]: "450 busy"}, False),
    ],
    ids=str,
)
def test_a_refused_address_is_an_error_without_a_retry_if_another_was_accepted(
    sink, serve, refused, permanent
):
    sink.refused = refused
    with pytest.raises(SendError, match=f"refused {len(refused)} of 2 addresses") as raised:
        channel(serve()).send(notification())
    assert raised.value.permanent is permanent
    assert "example.org" not in str(raised.value)
    assert len(sink.mails) == (len(refused) < 2)


@pytest.mark.parametrize(("answer", "permanent"), [("554 spam", True), ("451 later", False)])
def test_the_answer_of_the_server_decides_whether_to_retry(sink, serve, answer, permanent):
    sink.answer = answer
    with pytest.raises(SendError, match=answer[:3]) as raised:
        channel(serve()).send(notification())
    assert raised.value.permanent is permanent


def test_a_server_that_is_down_or_silent_is_retried(tcp_silence):
    for port in (tcp_silence, 1):
        sender = Email(SmtpServer("127.0.0.1", port, "none"), "a@example.org", TO, timeout_s=0.2)
        with pytest.raises(SendError, match="cannot be reached") as raised:
            sender.send(notification())
        assert not raised.value.permanent


def test_a_server_without_starttls_gets_neither_password_nor_mail(sink, serve):
    with pytest.raises(SendError, match="does not support it") as raised:
        channel(serve(), security="starttls", user="u", password="p").send(notification())
    assert raised.value.permanent
    assert (sink.mails, sink.credentials) == ([], [])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("password", ["p@ss", "wrong"])
def test_it_signs_in_over_tls_and_rejects_unknown_certificates(sink, serve, certificate, security, password):
    made, key = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    secured = {"ssl_context": context} if security == "tls" else {"tls_context": context}
    later = security == "starttls"  # with smtps the server does not know that the connection is encrypted
    port = serve(**secured, authenticator=sink.authenticate, auth_required=later, auth_require_tls=later)
    server = SmtpServer("127.0.0.1", port, security, "u", password)  # type: ignore[arg-type]
    trusting = ssl.create_default_context(cafile=str(made))
    sender = Email(server, "alerts@example.org", TO, 5.0, trusting)
    if password == "p@ss":
        sender.send(notification())
        assert sink.credentials == [(b"u", b"p@ss")]
        assert len(sink.mails) == 1
    else:
        with pytest.raises(SendError, match="535") as raised:
            sender.send(notification())
        assert raised.value.permanent
        assert "wrong" not in str(raised.value)
    with pytest.raises(SendError, match="SSLCertVerificationError"):
        Email(server, "alerts@example.org", TO, 5.0).send(notification())


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 25, "none")),
        ("smtp://u:p@localhost:1025", SmtpServer("localhost", 1025, "none", "u", "p")),
        ("starttls://u%40x:p%3A@mail.example", SmtpServer("mail.example", 587, "starttls", "u@x", "p:")),
        ("smtp+starttls://mail.example", SmtpServer("mail.example", 587, "starttls")),
        ("smtps://u:p@mail.example:4650", SmtpServer("mail.example", 4650, "tls", "u", "p")),
    ],
)
def test_smtp_urls_are_parsed(url, server):
    assert read_smtp_url(url) == server


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("mail.example", "must begin with smtp://"),
        ("http://mail.example", "must begin with smtp://"),
        ("smtps://", "has no server name"),
        ("smtps://mail.example:99999", "the port"),
        ("smtp://u:hush@mail.example", "unencrypted"),
    ],
)
def test_an_invalid_smtp_url_has_an_error_without_secrets(url, fault):
    with pytest.raises(ValueError, match=fault) as raised:
        read_smtp_url(url)
    assert "hush" not in str(raised.value)


def test_recipients_are_a_list():
    assert read_addresses(" ops@example.org , boss@example.org,") == TO
    for wrong in ("ops", "ops@", "@example.org", "a b@example.org", "Ops <ops@example.org>"):
        with pytest.raises(ValueError, match="is not an e-mail address"):
            read_addresses(f"ops@example.org,{wrong}")
