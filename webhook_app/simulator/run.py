"""Plays one scenario against a webhook URL in real time: handshake, webhooks, report."""

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from webhook_app.simulator.delivery import posts
from webhook_app.simulator.plan import plan
from webhook_app.simulator.posting import Pace, deliver
from webhook_app.simulator.report import SimulationReport, Tally
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.whatsapp.receiving.signature import sign


class HandshakeError(Exception):
    """The webhook URL did not pass Meta's verification; `permanent` is false when nobody answered."""

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
    """Send a scenario's webhooks, and the reports of its sender, and say what became of them.

    `rate` is messages per second, `duration` and `reorder` are seconds, `duplicates` is a share of the POSTs,
    `history` a number of contacts that failed on earlier days. `api_key` is the sender's, for the scenarios in
    which it reports its send calls: to /v1/sends beside the webhook's URL. Raises ValueError for a scenario, URL
    or figure that cannot be, and HandshakeError. Ctrl-C ends the run early, with its report.
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"no scenario {scenario!r}: there are {', '.join(SCENARIOS)}")
    if httpx.URL(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url!r} is no http or https URL")
    if SCENARIOS[scenario].reports_calls and not api_key:
        raise ValueError(f"in scenario {scenario} the sender reports its send calls: an API key is needed")
    pace = pace or Pace()
    if verify_token is not None:
        handshake(url, verify_token, timeout_s=pace.timeout_s)
    start = datetime.now(UTC)
    changes = plan(SCENARIOS[scenario], seed, rate, duration, start, history)
    chance = random.Random(f"delivery {seed}")  # noqa: S311 no secret
    planned = posts(changes, start, chance, batch=batch, duplicates=duplicates, reorder_s=reorder)
    secret, tally, begun = app_secret.encode(), Tally(), time.monotonic()
    sends_url = f"{url.removesuffix('/').removesuffix('/webhook')}/v1/sends"
    deliver(
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
    """What Meta does when a webhook URL is saved: only the challenge, answered with 200, passes."""
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
