"""`webhook-app demo`: the whole story in a terminal. A healthy start, an outage, its alert, and who gets suppressed.

Runs on a database and port of its own, with the default rule over a one-minute window so that it fits two minutes.
"""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from webhook_app.simulator.run import run
from webhook_app.simulator.slack_receiver import SlackReceiver
from webhook_app.up import Running, everything

_RULES = """
[[rule]]
name = "failure-rate-per-code"
kind = "rate"
classes = ["broken", "unreachable"]
group_by = ["code"]
window_minutes = 1
threshold = 0.02
min_attempts = 50
min_failures = 10
confidence = 0.999
for_evaluations = 2
resolve_below = 0.015
resolve_after_evaluations = 2
channels = ["slack"]
"""

Say = Callable[[str], None]


def play(say: Say, *, stay: bool) -> None:
    """Tell the story once; with `stay`, keep everything running afterwards until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_demo_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the database's own user has to get in
        rules = Path(folder) / "rules.toml"
        rules.write_text(_RULES, encoding="utf-8")
        with (
            SlackReceiver(show=lambda message: say(_framed(message))) as slack,
            everything(_environment(folder, rules, slack.url), quiet=True) as running,
        ):
            _story(running, slack, say)
            if stay:
                say(f"\nEverything is still running: {running.url}/   Ctrl-C ends it and removes its data.")
                running.wait()


def _environment(folder: str, rules: Path, slack_url: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("META_", "SLACK_", "DATABASE_"))
    }
    return kept | {
        "DATA_DIR": folder,
        "RULES_FILE": str(rules),
        "SLACK_WEBHOOK_URL": slack_url,
        "EVALUATE_SECONDS": "3",
        "PORT": str(_free_port()),
        "BIND_HOST": "127.0.0.1",
        "WEB_CONCURRENCY": "1",
        "LOG_FORMAT": "text",
    }


def _story(running: Running, slack: SlackReceiver, say: Say) -> None:
    say(
        f"Postgres, web and scheduler are up. Dashboard: {running.url}/  key: {running.settings.admin_api_key}\n"
    )
    say("1. A healthy start. Three contacts could not be reached on three days in a row.")
    _send(running, "steady", seconds=8, history=3)
    _until(lambda: len(_suppressions(running)) >= 3)
    for row in _suppressions(running)[:3]:
        say(f"   suppressed: {row['contact']}  reason {row['reason']}, code {row['code']}")
    say("   A sender that asks first is told not to write:")
    say(f"   {_check(running, _suppressions(running)[0]['contact'])}\n")

    say("2. The platform goes down: every message fails. The second look above the threshold alerts.")
    before = {row["contact"] for row in _suppressions(running)}
    _send(running, "outage", seconds=18)
    _until(lambda: len(slack.messages) > 0)
    after = {row["contact"] for row in _suppressions(running)}
    say(f"   Contacts suppressed because of the outage: {len(after - before)}")
    if before - after:
        say(
            f"   Released: {len(before - after)}, whose last failure fell into the incident and proves nothing."
        )
    say("")

    say("3. The platform is back. The alert resolves once the last minute is healthy again.")
    deadline = time.monotonic() + 120
    while not _resolved(running) and time.monotonic() < deadline:
        _send(running, "steady", seconds=6)
    _until(lambda: not _undelivered(running))
    say(
        f"   Books: {_get(running, '/v1/books', 'received', 'applied', 'duplicate', 'ignored', 'quarantined')}"
    )


def _send(running: Running, scenario: str, *, seconds: float, history: int = 0) -> None:
    secret = running.settings.meta_app_secret[0].decode()
    run(scenario=scenario, url=f"{running.url}/webhook", app_secret=secret, rate=40, duration=seconds,
        seed=int(time.time()), history=history)  # fmt: skip


def _api(running: Running, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {running.settings.admin_api_key}"}
    answer: dict[str, Any] = (
        httpx.get(running.url + path, headers=headers, timeout=10).raise_for_status().json()
    )
    return answer


def _get(running: Running, path: str, *names: str) -> dict[str, Any]:
    return {name: _api(running, path)[name] for name in names}


def _check(running: Running, contact: str) -> str:
    answer = _api(running, f"/v1/check/{contact}")
    return " ".join(
        f"{name}={answer[name]}" for name in ("contact", "allowed", "verdict", "reason", "code", "until")
    )


def _suppressions(running: Running) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _api(running, "/v1/suppressions?reason=unreachable&scope=all")[
        "suppressions"
    ]
    return rows


def _resolved(running: Running) -> bool:
    return not any(_api(running, f"/v1/alerts?state={state}")["alerts"] for state in ("pending", "firing"))


def _undelivered(running: Running) -> bool:
    lines = httpx.get(f"{running.url}/metrics", timeout=10).text.splitlines()
    waiting = [line for line in lines if line.startswith("webhook_app_notifications_undelivered{")]
    return any(not line.endswith(" 0.0") for line in waiting)


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.25)


def _framed(text: str) -> str:
    lines = text.strip().splitlines()
    return "\n".join(["", "   ┌─ Slack ─", *(f"   │ {line}" for line in lines), "   └─", ""])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wants_to_stay() -> bool:
    """Stay for people, end for pipes."""
    return sys.stdout.isatty()
