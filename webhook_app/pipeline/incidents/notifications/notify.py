"""Sends the outbox of one channel at least once.

One transaction leases the next due notification, or several for a digest, and records the try; it is sent outside of
any transaction; another transaction marks it sent, due again later, or given up. After a crash in between the lease
ends and it is sent again: a duplicate is better than a loss. Pace and pauses of a channel are stored, so that another
process keeps both. What is given up is rerouted to another channel once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random, SystemRandom
from time import monotonic, sleep

import structlog
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.channels import Channel, DigestChannel, Receipt, ResendingChannel, SendError
from webhook_app.channels.findings import FindingChannel, FindingMessage
from webhook_app.channels.notification import Notification, one_line
from webhook_app.pipeline.incidents.notifications.incident_content import with_current_state
from webhook_app.pipeline.incidents.notifications.reroute import (
    OutboxMessage,
    lock_incidents,
    read_message,
    reroute,
)
from webhook_app.rules.accounts.names import ids_in
from webhook_app.store.accounts.numbers import names
from webhook_app.store.incidents import alerts, channel_states, incidents, outbox
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.channel_states import ChannelMessage
from webhook_app.store.incidents.outbox import Claim
from webhook_app.store.postgres.engine import Connection, Engine

log = structlog.get_logger()

LEASE = timedelta(seconds=90)  # well over the longest time until a channel fails
LONGEST_WAIT_S = 300.0
LONGEST_PAUSE_S = 60.0

_RUN_S = 30.0
_JITTER = SystemRandom()


class NotifySummary(Struct):
    """The result of a run, counted in notifications; a digest may hold several."""

    sent: int = 0
    retried: int = 0
    failed: int = 0


class Clock:
    """The time of a run: `now` at its start plus the seconds of `stopwatch`."""

    def __init__(
        self,
        now: datetime,
        stopwatch: Callable[[], float] = monotonic,
        wait: Callable[[float], object] = sleep,
    ) -> None:
        self._now, self._stopwatch, self._began = now, stopwatch, stopwatch()
        self.wait = wait

    @property
    def elapsed_s(self) -> float:
        return self._stopwatch() - self._began

    def now(self) -> datetime:
        return self._now + timedelta(seconds=self.elapsed_s)


def notify(
    engine: Engine,
    channel: Channel,
    clock: Clock,
    *,
    fallbacks: Sequence[str] = (),
    go_on: Callable[[], bool] = lambda: True,
    jitter: Random = _JITTER,
) -> NotifySummary:
    """Send due notifications at the channel's pace, until none is left or 30 seconds have passed.

    `fallbacks`: the channels for rerouting, in order of preference.
    """
    run = _NotifyRun(engine, channel, clock, fallbacks, jitter)
    while run.step() and go_on() and clock.elapsed_s < _RUN_S:
        if channel.pace_s:
            clock.wait(channel.pace_s)
    if isinstance(channel, ResendingChannel):
        run.resend(channel)
    return run.summary


def backoff(tries: int, jitter: Random, longest_s: float = LONGEST_WAIT_S) -> float:
    """The wait after this many tries, in seconds: a random part of 1, 2, 4 … up to the longest."""
    return jitter.uniform(0.0, min(2.0 ** min(tries - 1, 16), longest_s))


class _NotifyRun:
    """One run over one channel's outbox."""

    def __init__(
        self, engine: Engine, channel: Channel, clock: Clock, fallbacks: Sequence[str], jitter: Random
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._clock = clock
        self._fallbacks = fallbacks
        self._jitter = jitter
        self.summary = NotifySummary()

    def step(self) -> bool:
        """Send one message; False if none is due, or the channel does not take it now."""
        claims = self._claim()
        if not claims:
            return False
        with self._engine.connect() as connection:
            known = names(connection, str([claimed.payload for claimed in claims]))
        notifications = {claimed.id: _notification_of(claimed, known) for claimed in claims}
        readable = [claimed for claimed in claims if notifications[claimed.id] is not None]
        self._give_up_unreadable([claimed for claimed in claims if notifications[claimed.id] is None])
        return not readable or self._deliver(
            readable, [one for one in notifications.values() if one is not None]
        )

    def resend(self, channel: ResendingChannel) -> None:
        """Send all firing alerts again with their current state, if it is time.

        An alert's end is sent by this run or a later one, so an older state never follows it.
        """
        now = self._clock.now()
        with self._engine.begin() as connection:
            channel_states.pause(connection, channel.name, now)
            paused_until = channel_states.paused_until(connection, channel.name) or now
            last = channel_states.resent_at(connection, channel.name)
            if paused_until > now or (last is not None and now - last < timedelta(seconds=channel.resend_s)):
                return
            notifications = self._open(connection, now)
            receipts = [self._receipt(connection, each.incident_id) for each in notifications]
            channel_states.mark_resent(connection, channel.name, now)
        try:
            if notifications:
                with _only_send_errors():
                    channel.resend(notifications, receipts)
        except SendError as fault:
            log.warning("open incidents were not sent again", channel=channel.name, fault=str(fault))
            with self._engine.begin() as connection:
                self._pause_after(connection, fault, now)

    def _open(self, connection: Connection, now: datetime) -> list[Notification]:
        """The last notification of each open incident, with the current state of the incident."""
        sent = [read_message(payload) for payload in outbox.open_payloads(connection, self._channel.name)]
        opened = {incident.id: incident for incident in incidents.open_incidents(connection)}
        members: dict[int | None, list[Alert]] = {}
        for alert in alerts.of_incidents(connection, list(opened)):
            members.setdefault(alert.incident_id, []).append(alert)
        return [
            with_current_state(each, opened[each.incident_id], members[each.incident_id], now)
            for each in sent
            if isinstance(each, Notification) and each.incident_id in opened  # it may have just ended
        ]

    def _receipt(self, connection: Connection, incident_id: int) -> Receipt | None:
        earlier = channel_states.message_of(connection, incident_id, self._channel.name)
        return Receipt(earlier.reference, earlier.shared) if earlier else None

    def _claim(self) -> list[Claim]:
        """Lease what is due, and store the pace in the same transaction, so that it is kept after a crash."""
        channel, now = self._channel, self._clock.now()
        with self._engine.begin() as connection:
            paused_until = channel_states.paused_until(connection, channel.name)
            if paused_until is not None and paused_until > now:
                return []
            claims = self._take(connection, now)
            if claims and channel.pace_s:
                channel_states.pause(connection, channel.name, now + self._pace)
        return claims

    def _take(self, connection: Connection, now: datetime) -> list[Claim]:
        channel, leased_until = self._channel, now + LEASE
        if isinstance(channel, DigestChannel) and outbox.is_flooded(
            connection, channel.name, now, channel.digest_from
        ):
            return outbox.claim_together(connection, channel.name, now, leased_until, channel.digest_size)
        claimed = outbox.claim(connection, channel.name, now, leased_until)
        return [] if claimed is None else [claimed]

    @property
    def _pace(self) -> timedelta:
        return timedelta(seconds=self._channel.pace_s)

    def _deliver(self, claims: Sequence[Claim], notifications: Sequence[OutboxMessage]) -> bool:
        """Send and mark; returns whether the run may continue."""
        try:
            receipt = self._send(claims, notifications)
        except SendError as fault:
            if fault.permanent and fault.of_message and len(claims) > 1:
                self._retry_alone(claims, fault)
            elif fault.permanent:
                self._give_up(claims, fault)
            else:
                self._retry_later(claims, fault)
                return False
        else:
            self._mark_sent(claims, receipt)
        return True

    def _send(self, claims: Sequence[Claim], messages: Sequence[OutboxMessage]) -> Receipt | None:
        channel, first = self._channel, messages[0]
        if isinstance(first, FindingMessage):
            if not isinstance(channel, FindingChannel):
                raise SendError(f"{channel.name} takes no findings", permanent=True, of_message=True)
            with _only_send_errors():
                channel.send_findings(first)
            return None
        notifications = [each for each in messages if isinstance(each, Notification)]
        if len(notifications) > 1 and isinstance(channel, DigestChannel):
            with _only_send_errors():
                return channel.send_digest(notifications)
        with self._engine.connect() as connection:
            earlier = self._receipt(connection, claims[0].incident_id)
        with _only_send_errors():
            return channel.send(first, earlier)

    def _mark_sent(self, claims: Sequence[Claim], receipt: Receipt | None) -> None:
        at = self._clock.now()
        with self._engine.begin() as connection:
            for claimed in claims:
                outbox.mark_sent(connection, claimed, at)
            if receipt is not None:
                message = ChannelMessage(receipt.reference, receipt.shared)
                incident_ids = [claimed.incident_id for claimed in claims]
                channel_states.save_message(connection, incident_ids, self._channel.name, message, at)
            channel_states.reset_faults(connection, self._channel.name)
            if self._channel.pace_s:
                channel_states.pause(connection, self._channel.name, at + self._pace)
        self.summary.sent += len(claims)

    def _retry_alone(self, claims: Sequence[Claim], fault: SendError) -> None:
        """Retry each one alone, since one of them makes the digest invalid."""
        at = self._clock.now()
        with self._engine.begin() as connection:
            for claimed in claims:
                outbox.mark_retry(connection, claimed, at, at, str(fault), alone=True)
        self.summary.retried += len(claims)

    def _give_up(self, claims: Sequence[Claim], fault: SendError) -> None:
        at = self._clock.now()
        with self._engine.begin() as connection:
            lock_incidents(connection, [claimed.incident_id for claimed in claims])
            for claimed in claims:
                outbox.mark_failed(connection, claimed, at, str(fault))
                if claimed.rerouted_at is None:
                    self._reroute(connection, claimed, fault, at)
        for claimed in claims:
            log.error("notification given up", **_log_fields(claimed), fault=str(fault))
        self.summary.failed += len(claims)

    def _retry_later(self, claims: Sequence[Claim], fault: SendError) -> None:
        at = self._clock.now()
        waits = {claimed.id: self._wait(claimed, fault) for claimed in claims}
        with self._engine.begin() as connection:
            for claimed in claims:
                due_at = at + timedelta(seconds=waits[claimed.id])
                outbox.mark_retry(connection, claimed, at, due_at, str(fault))
            self._pause_after(connection, fault, at)
        for claimed in claims:
            about = _log_fields(claimed) | {"tries": claimed.tries, "wait_s": round(waits[claimed.id], 1)}
            log.warning("notification not sent yet", **about, fault=str(fault))
        self.summary.retried += len(claims)

    def _wait(self, claimed: Claim, fault: SendError) -> float:
        return max(backoff(claimed.tries, self._jitter), fault.retry_after or 0.0)

    def _pause_after(self, connection: Connection, fault: SendError, at: datetime) -> None:
        """Pause the channel for as long as it asked, or else longer with every fault in a row."""
        faults = channel_states.count_fault(connection, self._channel.name, at)
        wait = fault.retry_after or backoff(faults, self._jitter, LONGEST_PAUSE_S)
        paused_until = at + timedelta(seconds=max(wait, self._channel.pace_s))
        channel_states.pause(connection, self._channel.name, paused_until)

    def _give_up_unreadable(self, claims: Sequence[Claim]) -> None:
        """Give up notifications that another version wrote in a form that cannot be read."""
        at = self._clock.now()
        with self._engine.begin() as connection:
            for claimed in claims:
                outbox.mark_failed(connection, claimed, at, "the stored payload cannot be read")
                log.error("notification given up: its payload cannot be read", **_log_fields(claimed))
        self.summary.failed += len(claims)

    def _reroute(self, connection: Connection, claimed: Claim, fault: SendError, at: datetime) -> None:
        reroute(connection, claimed.id, claimed.channel, claimed.payload, str(fault), self._fallbacks, at)


@contextmanager
def _only_send_errors() -> Iterator[None]:
    """Any other error of a channel is about this message, so that it is given up and rerouted, not tried for ever."""
    try:
        yield
    except SendError:
        raise
    except Exception as fault:
        log.exception("a channel failed in an unexpected way")
        raise SendError(f"{type(fault).__name__}: {fault}", permanent=True, of_message=True) from fault


def _notification_of(claimed: Claim, known: Mapping[str, str]) -> OutboxMessage | None:
    """The message with the names that occur in it."""
    message = read_message(claimed.payload)
    used = {key: one_line(known[key]) for key in ids_in(str(claimed.payload)) if key in known}
    return None if message is None else replace(message, id=claimed.id, names=used)


def _log_fields(claimed: Claim) -> dict[str, object]:
    return {"channel": claimed.channel, "incident": claimed.incident_id, "reason": claimed.reason}
