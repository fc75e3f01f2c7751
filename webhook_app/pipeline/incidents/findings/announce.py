"""Queues messages about findings: each new one once, and the digest of the week. Runs in the caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import convert, to_builtins

from webhook_app.channels.findings import (
    FINDING_CHANNELS,
    NO_INCIDENT,
    FindingEntry,
    FindingMessage,
)
from webhook_app.rules.incidents.announcements import FALLBACK_CHANNEL
from webhook_app.rules.incidents.findings.digests import MOST_MESSAGES, digest_time
from webhook_app.rules.incidents.findings.observed_states import is_announced_as_incident
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents import findings, outbox
from webhook_app.store.incidents.findings import Finding
from webhook_app.store.postgres.engine import Connection

_WEEK = timedelta(days=7)


def announce(
    connection: Connection,
    rules: Sequence[Rule],
    now: datetime,
    *,
    public_url: str,
    channels: Collection[str],
) -> int:
    """Queue what is due on each channel that takes findings; returns the number of notifications.

    More than three new findings are one message, so that a fresh installation with a history does not flood a channel.
    """
    opened = findings.open_findings(connection)
    new = [
        each
        for each in opened
        if each.notified_at is None
        and not is_announced_as_incident(str(each.evidence.get("quality", "")), rules)
    ]
    messages = []
    for is_reported in (
        False,
        True,
    ):  # what only reports show, and may be made up, makes no message of others long
        alike = [each for each in new if each.is_reported == is_reported]
        many = len(alike) > MOST_MESSAGES
        messages += [
            _message(each, now, public_url) for each in ([alike] if many else [[one] for one in alike])
        ]
    findings.mark_notified(connection, [each.id for each in new], now)
    due = digest_time(now, outbox.last_added(connection, "digest"))
    if due is not None:
        messages += _digest(
            connection, [each for each in opened if each.found_at < due], due, now, public_url
        )
    names = channels_of_findings(channels)
    for message in messages:
        for name in names:
            outbox.add(connection, NO_INCIDENT, name, message.reason, to_builtins(message), now)
    return len(messages) * len(names)


def channels_of_findings(channels: Collection[str]) -> list[str]:
    """The channels that are set up and take findings; the log if there is no other."""
    found = [name for name in FINDING_CHANNELS if name in channels and name != FALLBACK_CHANNEL]
    return found or [FALLBACK_CHANNEL]


def _digest(
    connection: Connection, opened: Sequence[Finding], due: datetime, now: datetime, public_url: str
) -> list[FindingMessage]:
    """The digest, if there is something to say."""
    fixed = findings.fixed_since(connection, due - _WEEK)
    if not opened and not fixed:
        return []
    message = FindingMessage(
        reason="digest",
        at=now,
        findings=tuple(_entry(each, public_url) for each in _shown_first(opened)),
        fixed=tuple(_entry(each, public_url) for each in _shown_first(fixed)),
        link=_link(public_url),
    )
    return [message]


def _shown_first(found: Sequence[Finding]) -> list[Finding]:
    """Those that webhooks show first: the text of a digest lists some of many."""
    return sorted(found, key=lambda each: each.is_reported)


def _message(found: Sequence[Finding], now: datetime, public_url: str) -> FindingMessage:
    entries = tuple(_entry(each, public_url) for each in found)
    return FindingMessage(reason="finding", at=now, findings=entries, link=_link(public_url))


def _entry(finding: Finding, public_url: str) -> FindingEntry:
    link = f"{_link(public_url)}#finding-{finding.id}" if public_url else ""
    values = {name: getattr(finding, name, None) for name in FindingEntry.__struct_fields__}
    return convert(values | {"finding_id": finding.id, "link": link}, FindingEntry)


def _link(public_url: str) -> str:
    return f"{public_url.rstrip('/')}/findings" if public_url else ""
