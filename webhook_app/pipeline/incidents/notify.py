"""The outbox to one channel, at least once: claim, record the try, send, mark.

1. One transaction takes the channel's next due notification for the time of a lease and records the try. When the
   channel collapses floods and many are due, it takes them together.
2. It is sent outside of any transaction.
3. Another transaction marks it sent, due again later, or given up. After a crash in between the lease ends and
   it is sent again: told twice is better than not at all.
4. Between two messages the channel's pace is kept. It is a row, as is a pause that the channel asked for, so a
   successor keeps both.
5. What is given up, or has not got through for a while, is told on another channel, once.
Each channel is run by itself, so that a slow one holds up no other.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random, SystemRandom
from time import monotonic, sleep

import structlog
from msgspec import Struct, ValidationError, convert
from msgspec.structs import replace

from webhook_app.channels import Channel, DigestChannel, Receipt, ResendingChannel, SendError
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents.reroute import hold, reroute
from webhook_app.store.incidents import channel_states, outbox
from webhook_app.store.incidents.channel_states import ChannelMessage
from webhook_app.store.incidents.outbox import Claim
from webhook_app.store.postgres.engine import Connection, Engine

log = structlog.get_logger()

LEASE = timedelta(seconds=90)  # well over the longest time a channel takes to fail
LONGEST_WAIT_S = 300.0
LONGEST_PAUSE_S = 60.0
OVERDUE_AFTER = timedelta(minutes=10)

_RUN_S = 30.0
_JITTER = SystemRandom()


class NotifySummary(Struct):
    """What a run did with the outbox: notifications, however few messages told them."""

    sent: int = 0
    retried: int = 0
    failed: int = 0


class Clock:
    """The time of a run: it begins at `now` and goes on by `stopwatch`, in seconds."""

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
    """Send what is due on the channel, at its pace, until nothing is or half a minute is over.

    `fallbacks`: the channels that can be told instead, the best first.
    """
    run = _NotifyRun(engine, channel, clock, fallbacks, jitter)
    while run.step() and go_on() and clock.elapsed_s < _RUN_S:
        if channel.pace_s:
            clock.wait(channel.pace_s)
    if isinstance(channel, ResendingChannel):
        run.resend(channel)
    return run.summary


def backoff(tries: int, jitter: Random, longest_s: float = LONGEST_WAIT_S) -> float:
    """Seconds to wait after so many tries: a random part of 1, 2, 4 … up to the longest."""
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
        """Send one message; False when there is none to send now, or the channel does not take it now."""
        claims = self._claim()
        if not claims:
            return False
        told = {claimed.id: _read(claimed) for claimed in claims}
        readable = [claimed for claimed in claims if told[claimed.id] is not None]
        self._refuse([claimed for claimed in claims if told[claimed.id] is None])
        return not readable or self._deliver(readable, [one for one in told.values() if one is not None])

    def resend(self, channel: ResendingChannel) -> None:
        """Tell the channel again what goes on, if it is time.

        News of an alert's end is sent by this same run or a later one: it is never overtaken by an older state.
        """
        now = self._clock.now()
        with self._engine.begin() as connection:
            channel_states.pause(connection, channel.name, now)
            until = channel_states.paused_until(connection, channel.name) or now
            last = channel_states.resent_at(connection, channel.name)
            if until > now or (last is not None and now - last < timedelta(seconds=channel.resend_s)):
                return
            payloads = outbox.firing_payloads(connection, channel.name)
            channel_states.mark_resent(connection, channel.name, now)
        try:
            if payloads:
                channel.resend([told for payload in payloads if (told := _parse(payload)) is not None])
        except SendError as fault:
            log.warning("a channel was not told again what goes on", channel=channel.name, fault=str(fault))
            with self._engine.begin() as connection:
                self._pause_after(connection, fault, now)

    def _claim(self) -> list[Claim]:
        """Also asks for the pace, in the same transaction: whoever comes after a crash keeps it."""
        channel, now = self._channel, self._clock.now()
        with self._engine.begin() as connection:
            until = channel_states.paused_until(connection, channel.name)
            if until is not None and until > now:
                return []
            claims = self._take(connection, now)
            if claims and channel.pace_s:
                channel_states.pause(connection, channel.name, now + self._pace)
        return claims

    def _take(self, connection: Connection, now: datetime) -> list[Claim]:
        channel, until = self._channel, now + LEASE
        if isinstance(channel, DigestChannel) and outbox.is_flooded(
            connection, channel.name, now, channel.digest_from
        ):
            return outbox.claim_together(connection, channel.name, now, until, channel.digest_size)
        claimed = outbox.claim(connection, channel.name, now, until)
        return [] if claimed is None else [claimed]

    @property
    def _pace(self) -> timedelta:
        return timedelta(seconds=self._channel.pace_s)

    def _deliver(self, claims: Sequence[Claim], told: Sequence[Notification]) -> bool:
        """Whether the next one may be sent in this run."""
        try:
            receipt = self._send(claims, told)
        except SendError as fault:
            if fault.permanent and fault.of_message and len(claims) > 1:
                self._separate(claims, fault)
            elif fault.permanent:
                self._give_up(claims, fault)
            else:
                self._put_off(claims, fault)
                return False
        else:
            self._mark_sent(claims, receipt)
        return True

    def _send(self, claims: Sequence[Claim], told: Sequence[Notification]) -> Receipt | None:
        channel = self._channel
        if len(told) > 1 and isinstance(channel, DigestChannel):
            return channel.send_digest(told)
        with self._engine.connect() as connection:
            earlier = channel_states.message_of(connection, claims[0].alert_id, channel.name)
        return channel.send(told[0], Receipt(earlier.reference, earlier.shared) if earlier else None)

    def _mark_sent(self, claims: Sequence[Claim], receipt: Receipt | None) -> None:
        at = self._clock.now()
        with self._engine.begin() as connection:
            for claimed in claims:
                outbox.mark_sent(connection, claimed, at)
            if receipt is not None:
                message = ChannelMessage(receipt.reference, receipt.shared)
                alert_ids = [claimed.alert_id for claimed in claims]
                channel_states.remember(connection, alert_ids, self._channel.name, message, at)
            channel_states.forget_faults(connection, self._channel.name)
            if self._channel.pace_s:
                channel_states.pause(connection, self._channel.name, at + self._pace)
        self.summary.sent += len(claims)

    def _separate(self, claims: Sequence[Claim], fault: SendError) -> None:
        """One of them spoils the message: each is tried by itself."""
        at = self._clock.now()
        with self._engine.begin() as connection:
            for claimed in claims:
                outbox.mark_retry(connection, claimed, at, at, str(fault), alone=True)
        self.summary.retried += len(claims)

    def _give_up(self, claims: Sequence[Claim], fault: SendError) -> None:
        at = self._clock.now()
        with self._engine.begin() as connection:
            hold(connection, [claimed.alert_id for claimed in claims])
            for claimed in claims:
                outbox.mark_failed(connection, claimed, at, str(fault))
                if claimed.rerouted_at is None:
                    self._reroute(connection, claimed, fault, at)
        for claimed in claims:
            log.error("notification given up", **_about(claimed), fault=str(fault))
        self.summary.failed += len(claims)

    def _put_off(self, claims: Sequence[Claim], fault: SendError) -> None:
        at = self._clock.now()
        waits = {claimed.id: self._wait(claimed, fault) for claimed in claims}
        late = [c for c in claims if c.rerouted_at is None and at - c.created_at >= OVERDUE_AFTER]
        with self._engine.begin() as connection:
            hold(connection, [claimed.alert_id for claimed in late])
            for claimed in claims:
                due_at = at + timedelta(seconds=waits[claimed.id])
                outbox.mark_retry(connection, claimed, at, due_at, str(fault))
            for claimed in late:
                self._reroute(connection, claimed, fault, at)
            self._pause_after(connection, fault, at)
        for claimed in claims:
            about = _about(claimed) | {"tries": claimed.tries, "wait_s": round(waits[claimed.id], 1)}
            log.warning("notification not sent yet", **about, fault=str(fault))
        self.summary.retried += len(claims)

    def _wait(self, claimed: Claim, fault: SendError) -> float:
        return max(backoff(claimed.tries, self._jitter), fault.retry_after or 0.0)

    def _pause_after(self, connection: Connection, fault: SendError, at: datetime) -> None:
        """Leave the whole channel alone for as long as it asked, or the longer the more faults in a row."""
        faults = channel_states.count_fault(connection, self._channel.name, at)
        wait = fault.retry_after or backoff(faults, self._jitter, LONGEST_PAUSE_S)
        until = at + timedelta(seconds=max(wait, self._channel.pace_s))
        channel_states.pause(connection, self._channel.name, until)

    def _refuse(self, claims: Sequence[Claim]) -> None:
        """Written by a version that said it differently: no channel could read it."""
        at = self._clock.now()
        with self._engine.begin() as connection:
            for claimed in claims:
                outbox.mark_failed(connection, claimed, at, "the stored payload cannot be read")
                log.error("notification given up: its payload cannot be read", **_about(claimed))
        self.summary.failed += len(claims)

    def _reroute(self, connection: Connection, claimed: Claim, fault: SendError, at: datetime) -> None:
        reroute(connection, claimed.id, claimed.channel, claimed.payload, str(fault), self._fallbacks, at)


def _read(claimed: Claim) -> Notification | None:
    told = _parse(claimed.payload)
    return None if told is None else replace(told, id=claimed.id)


def _parse(payload: Mapping[str, object]) -> Notification | None:
    try:
        return convert(payload, Notification)
    except ValidationError:
        return None


def _about(claimed: Claim) -> dict[str, object]:
    return {"channel": claimed.channel, "alert": claimed.alert_id, "reason": claimed.reason}
