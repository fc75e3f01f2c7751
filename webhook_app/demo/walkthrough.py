"""`webhook-app demo`: the whole story in a terminal, on a database and port of its own that are gone afterwards.

The rules are those that ship; once the week before has been lived through, their rates look back a minute instead of
a quarter of an hour, so that an outage begins and ends within two.
"""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webhook_app.channels.slack import SlackWebhook
from webhook_app.demo.api_user import ApiUser
from webhook_app.demo.history import fill
from webhook_app.demo.week import week_before
from webhook_app.rules.incidents.rules_file import default_rules_text
from webhook_app.settings import Settings
from webhook_app.simulator.run import run
from webhook_app.simulator.slack.receiver import SlackReceiver
from webhook_app.up import Running, everything

Say = Callable[[str], None]

_RATE = 40.0
_LATER_RATE = 3.0
_LONGEST_WAIT_S = 120.0


def play(say: Say, *, stay: bool) -> None:
    """Tell the story once; with `stay`, keep everything running, traffic included, until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_demo_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the database's own user has to get in
        rules = Path(folder) / "rules.toml"
        rules.write_text(rules_of_a_minute(), encoding="utf-8")
        teller = Narrator(say)
        with SlackReceiver(show=teller.hear) as slack:
            environment = demo_environment(os.environ, folder, rules, slack.url)
            with everything(
                environment, quiet=True, prepare=lambda settings: _live_the_week(say, settings, slack.url)
            ) as running:
                desk = ApiUser(running.url, running.settings.admin_api_key)
                teller.listening = True
                _story(running, desk, slack, say)
                if stay:
                    say(f"\nMessages go on: {running.url}/   Ctrl-C ends everything and removes its data.")
                    _go_on(running)


def rules_of_a_minute() -> str:
    """The rules that ship, with windows of a minute where they are of a quarter of an hour."""
    return default_rules_text().replace("window_minutes = 15\n", "window_minutes = 1\n")


def demo_environment(given: Mapping[str, str], folder: str, rules: Path, slack_url: str) -> dict[str, str]:
    """The given environment without the settings of the user's own service: none of its database, secrets, channels."""
    ours = {f"{name.upper()}{ending}" for name in Settings.model_fields for ending in ("", "_FILE")}
    kept = {name: value for name, value in given.items() if name not in ours}
    return kept | {
        "DATA_DIR": folder,
        "RULES_FILE": str(rules),
        "SLACK_WEBHOOK_URL": slack_url,
        "EVALUATE_SECONDS": "2",
        "PORT": str(_free_port()),
        "BIND_HOST": "127.0.0.1",
        "WEB_CONCURRENCY": "1",
        "LOG_FORMAT": "text",
    }


class Narrator:
    """Shows what Slack gets, once it is listening: the first message whole, of the others the headline."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.listening = False
        self._shown = 0

    def hear(self, message: str) -> None:
        if self.listening:
            self._shown += 1
            self._say(framed(message if self._shown == 1 else message.strip().splitlines()[0]))


def framed(text: str) -> str:
    """A message as a box in the terminal."""
    lines = text.strip().splitlines()
    return "\n".join(["   ┌─ Slack ─", *(f"   │ {line}" for line in lines), "   └─"])


def _live_the_week(say: Say, settings: Settings, slack_url: str) -> None:
    say("1. The week before, lived through by the same code that serves live traffic.")
    began, slack = time.monotonic(), SlackWebhook(slack_url)
    try:
        url = f"http://127.0.0.1:{settings.port}"
        items = fill(settings.database_url, {"slack": slack}, week_before(datetime.now(UTC)), public_url=url)
    finally:
        slack.close()
    say(f"   {items:,} webhook items of seven days, judged and told, in {time.monotonic() - began:.0f} s.")


def _story(running: Running, desk: ApiUser, slack: SlackReceiver, say: Say) -> None:
    fired = desk.alerts_fired()
    say(f"   {sum(fired.values())} alerts fired in that week: {_counted(fired)}.")
    before = desk.unreachable()
    say(
        f"   {len(before)} contacts failed on several days and are not to be written to. A sender that asks is told:"
    )
    say(f"   {desk.check(min(before))}" if before else "")
    desk.work_through()
    say("")
    say("2. A healthy start, then the platform goes down: every message fails.")
    began, heard = datetime.now(UTC), len(slack.messages)
    _send(running, "steady", seconds=4)
    _send(running, "outage", seconds=14)
    _until(lambda: len(slack.messages) > heard)
    after = desk.unreachable()
    say(f"   Contacts suppressed because of the outage: {len(after - before)}\n")

    say(
        "3. The platform is back; once the last minute is healthy again the alerts resolve. Meanwhile, look around:"
    )
    say(f"   Dashboard   {running.url}/\n   Key         {running.settings.admin_api_key}")
    deadline = time.monotonic() + _LONGEST_WAIT_S
    while desk.open_since(began) and time.monotonic() < deadline:
        _send(running, "steady", seconds=5)
    _until(lambda: not desk.untold())
    say(f"   Books: {desk.books()}")


def _go_on(running: Running) -> None:
    while running.ended() is None:
        _send(running, "opt-outs", seconds=20, rate=_LATER_RATE)


def _send(running: Running, scenario: str, *, seconds: float, rate: float = _RATE) -> None:
    settings = running.settings
    run(
        scenario=scenario,
        url=f"{running.url}/webhook",
        app_secret=settings.meta_app_secret[0].decode(),
        api_key=settings.admin_api_key,
        rate=rate,
        duration=seconds,
        seed=int(time.time()),
    )


def _counted(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} of kind {name}" for name, number in numbers.items())


def _until(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.25)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wants_to_stay() -> bool:
    """Stay for people, end for pipes."""
    return sys.stdout.isatty()
