"""Runs one scenario against a webhook URL in real time: handshake, webhooks, report."""

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from webhook_app.simulator.plan import plan
from webhook_app.simulator.posts import plan_posts
from webhook_app.simulator.report import SimulationReport, Tally
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.simulator.sending import Pace, send_posts
from webhook_app.whatsapp.receiving.signature import sign


class HandshakeError(Exception):
    """The webhook URL failed Meta's verification. `permanent` is false when a retry may help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


def run(
    *,
    scenario: str,
    url: str,
    app_secret: str,
    verify_token: str | None = None,
    api_key: str = "",
    rate: float = 20.0,
    batch: int = 1,
    duration: float = 60.0,
    seed: int = 1,
    duplicates: float = 0.02,
    reorder: float = 2.0,
    history: int = 0,
    pace: Pace | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> SimulationReport:
    """Send a scenario's webhooks and its sender's reports, and return the counts.

    `rate` is messages per second, `duration` and `reorder` are seconds, `duplicates` is a share of the POSTs,
    `history` is a number of contacts with failures on earlier days. Some scenarios report send calls to /v1/sends
    of the same service; they need the sender's `api_key`. Raises ValueError for an invalid argument, and
    HandshakeError. Ctrl-C ends the run early, with its report.
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}; choose one of {', '.join(SCENARIOS)}")
    if httpx.URL(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url!r} is not an http or https URL")
    if SCENARIOS[scenario].reports_calls and not api_key:
        raise ValueError(f"scenario {scenario} reports send calls: an API key is required")
    pace = pace or Pace()
    if verify_token is not None:
        handshake(url, verify_token, timeout_s=pace.timeout_s)
    start = datetime.now(UTC)
    events = plan(SCENARIOS[scenario], seed, rate, duration, start, history)
    rng = random.Random(f"delivery {seed}")  # noqa: S311 no secret
    planned = plan_posts(events, start, rng, batch=batch, duplicates=duplicates, reorder_s=reorder)
    secret, tally, begun = app_secret.encode(), Tally(), time.monotonic()
    sends_url = f"{url.removesuffix('/').removesuffix('/webhook')}/v1/sends"
    send_posts(
        planned,
        url,
        lambda body: sign(body, secret),
        pace,
        tally,
        progress,
        sends_url=sends_url,
        api_key=api_key,
    )
    return tally.report(scenario, seed, time.monotonic() - begun)


def handshake(url: str, verify_token: str, *, timeout_s: float = 20.0) -> None:
    """Verify the webhook URL as Meta does when it is saved: only the challenge with status 200 passes."""
    challenge = str(secrets.randbelow(10**10))
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False) as client:
            answer = client.get(url, params=query)
    except httpx.RequestError as fault:
        raise HandshakeError(f"no answer from {url}: {fault}", permanent=False) from fault
    if answer.status_code != 200 or answer.text != challenge:
        raise HandshakeError(
            f"{url} answered {answer.status_code} instead of the challenge: is the verify token right?",
            permanent=answer.status_code < 500,
        )
