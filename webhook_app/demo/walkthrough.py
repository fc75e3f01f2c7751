"""`webhook-app demo`: a demonstration of the service in a terminal, with a temporary database and port.

It uses the default rules. After the replayed week, their shortest window is one minute instead of 15, so that an outage
starts and ends within a few minutes.
"""

import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webhook_app.channels.slack import SlackWebhook
from webhook_app.data_folder import DataFolder
from webhook_app.demo.api_user import ApiUser
from webhook_app.demo.history import fill
from webhook_app.demo.meta import demo_account, graph_settings, serve_graph
from webhook_app.demo.week import week_before
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text
from webhook_app.settings import Settings, process_environment
from webhook_app.simulator.run import run
from webhook_app.simulator.slack import SlackReceiver
from webhook_app.up import Running, everything

Print = Callable[[str], None]

_RATE = 40.0
_LATER_RATE = 3.0
_LONGEST_WAIT_S = 240.0


def run_demo(echo: Print, *, stay: bool) -> None:
    """Run the demo; with `stay`, keep the service and its traffic running until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_demo_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # the database runs as another user, who must read it
        rules = Path(folder) / "rules.toml"
        rules.write_text(one_minute_rules(), encoding="utf-8")
        printer = SlackPrinter(echo)
        with SlackReceiver(show=printer.show) as slack:
            environment = demo_environment(process_environment(), folder, rules, slack.url)
            with (
                serve_graph(demo_account(_app_secret(environment), environment["PORT"])) as graph_url,
                everything(
                    environment | graph_settings(graph_url),
                    quiet=True,
                    prepare=lambda settings: _fill_week(echo, settings, slack.url),
                ) as running,
            ):
                user = ApiUser(running.url, running.settings.admin_api_key)
                printer.enabled = True
                _walk_through(running, user, slack, echo)
                if stay:
                    echo(
                        f"\nMessages continue: {running.url}/   Ctrl-C stops everything and removes its data."
                    )
                    _keep_sending(running)


def one_minute_rules() -> str:
    """Return the default rules with a shortest window of one minute instead of 15."""
    return default_rules_text().replace("window_minutes = [15, ", "window_minutes = [1, ")


def demo_environment(given: Mapping[str, str], folder: str, rules: Path, slack_url: str) -> dict[str, str]:
    """Return the environment without the user's own settings, such as database, secrets and channels."""
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


def _app_secret(environment: Mapping[str, str]) -> str:
    """Return the secret that the service will use: it is made here, before the service starts."""
    folder = DataFolder(environment)
    folder.make_secrets()
    return folder.made_secrets()["META_APP_SECRET"]


class SlackPrinter:
    """Prints messages to Slack once it is enabled: the whole first message, then only headlines."""

    def __init__(self, echo: Print) -> None:
        self._echo = echo
        self.enabled = False
        self._shown = 0

    def show(self, message: str) -> None:
        if self.enabled:
            self._shown += 1
            self._echo(boxed(message if self._shown == 1 else message.strip().splitlines()[0]))


def boxed(text: str) -> str:
    """Return a message in a box for the terminal."""
    lines = text.strip().splitlines()
    return "\n".join(["   ┌─ Slack ─", *(f"   │ {line}" for line in lines), "   └─"])


def week_lines(incidents: Mapping[str, int], findings: Sequence[str]) -> list[str]:
    """Return what was found in the week: the incidents by kind, and the titles of the open findings."""
    counted = ", ".join(f"{number} of kind {kind}" for kind, number in incidents.items())
    return [
        f"{sum(incidents.values())} incidents in that week: {counted}.",
        *(f"Finding, a state that lasts: {title}." for title in findings),
    ]


def _fill_week(echo: Print, settings: Settings, slack_url: str) -> None:
    echo("1. A simulated week, replayed by the code that serves live traffic.")
    started, slack = time.monotonic(), SlackWebhook(slack_url)
    url = f"http://127.0.0.1:{settings.port}"
    items = fill(settings.database_url, {"slack": slack}, week_before(datetime.now(UTC)), public_url=url)
    echo(f"   {items:,} webhook items of seven days, processed in {time.monotonic() - started:.0f} s.")


def _walk_through(running: Running, user: ApiUser, slack: SlackReceiver, echo: Print) -> None:
    for line in week_lines(user.incidents_by_kind(), user.open_findings()):
        echo(f"   {line}")
    before = user.unreachable()
    echo(
        f"   {len(before)} contacts failed on several days and are suppressed. The answer to a sender's check:"
    )
    echo(f"   {user.check(min(before))}" if before else "")
    user.edit_suppressions()
    echo("")
    echo("2. A healthy start, then the platform goes down: every message fails.")
    started, messages = datetime.now(UTC), len(slack.messages)
    _send(running, "steady", seconds=4)
    _send(running, "outage", seconds=14)
    _wait_for(lambda: len(slack.messages) > messages)
    after = user.unreachable()
    echo(f"   Contacts suppressed because of the outage: {len(after - before)}\n")

    echo(
        "3. The platform is back. The incident ends after some healthy minutes. Meanwhile, open the dashboard:"
    )
    echo(f"   Dashboard   {running.url}/\n   Key         {running.settings.admin_api_key}")
    deadline = time.monotonic() + _LONGEST_WAIT_S
    while user.any_open_since(started) and time.monotonic() < deadline:
        _send(running, "steady", seconds=5)
    _wait_for(lambda: not user.has_undelivered_notifications())
    echo(f"   Books: {user.books()}")


def _keep_sending(running: Running) -> None:
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


def _wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.25)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stays_by_default() -> bool:
    """Whether output goes to a terminal, where a person may want to use the dashboard."""
    return sys.stdout.isatty()
