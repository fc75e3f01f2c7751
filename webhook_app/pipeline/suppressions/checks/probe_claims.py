"""Claims the probes of half-open suppressions: the first caller that asks may send, all others wait."""

from collections.abc import Callable, MutableSequence
from datetime import datetime, timedelta

from webhook_app.rules.suppressions.verdict import Verdict, after_claim
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.checks import claim_probes


def resolve_probes(
    verdicts: MutableSequence[Verdict | None],
    open_connection: Callable[[], Connection],
    now: datetime,
    probe_period: timedelta,
    *,
    claim: bool,
) -> None:
    """Replace each verdict that needs a probe: `send` for the first that claims it, also within this list, else `wait`.

    Without `claim` nothing is stored and all of them become `send`. None marks an invalid contact.
    """
    needed = {
        verdict.suppression.key: None
        for verdict in verdicts
        if verdict is not None and verdict.needs_probe and verdict.suppression is not None
    }
    if not needed:
        return
    until = now + probe_period
    claimed = claim_probes(open_connection(), list(needed), until, now) if claim else set(needed)
    for place, verdict in enumerate(verdicts):
        if verdict is not None and verdict.needs_probe and verdict.suppression is not None:
            key = verdict.suppression.key
            verdicts[place] = after_claim(verdict, is_claimed=key in claimed, until=until, now=now)
            if claim:
                claimed.discard(key)
