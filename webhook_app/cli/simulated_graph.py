"""`webhook-app simulate --graph`: serves a simulated Graph API for senders to try against."""

import signal
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from webhook_app.simulator.graph_api.account import SimulatedAccount

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPTIONS = (
    click.option("--graph", is_flag=True, help="serve a Graph API that takes sends; the options below are for it"),
    click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="its port"),
    click.option("--host", default="127.0.0.1", show_default=True, help="its address"),
    click.option(
        "--templates",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="your templates: a file with Meta's answer to GET /{waba_id}/message_templates  [default: examples]",
    ),
    click.option("--error", "errors", multiple=True, metavar="NUMBER=CODE", help="sends to NUMBER fail with CODE"),
    click.option("--error-rate", "rates", multiple=True, metavar="CODE=SHARE", help="SHARE of sends fails with CODE"),
    click.option(
        "--sends-per-second",
        default=80,
        show_default=True,
        type=click.IntRange(1),
        help="sends of one business number; more are refused with 130429",
    ),
    click.option(
        "--pair-burst",
        default=45,
        show_default=True,
        type=click.IntRange(1),
        help="messages to one recipient at once, and one more every 6 s; more are refused with 131056",
    ),
    click.option(
        "--calls-per-hour",
        default=0,
        type=click.IntRange(0),
        help="calls of all kinds; more are refused with 4  [default: any number]",
    ),
    click.option(
        "--delay",
        default=1.0,
        show_default=True,
        type=click.FloatRange(0, 3600),
        help="seconds before each of sent, delivered and read",
    ),
    click.option("--open-windows", is_flag=True, help="everybody has an open 24-hour window: no 131047"),
)  # fmt: skip


def graph_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --graph and its options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serve_graph(
    *,
    url: str | None,
    seed: int,
    app_secret: str,
    port: int,
    host: str,
    templates: Path | None,
    errors: tuple[str, ...],
    rates: tuple[str, ...],
    sends_per_second: int,
    pair_burst: int,
    calls_per_hour: int,
    delay: float,
    open_windows: bool,
) -> None:
    """Serve until Ctrl-C. Without `url` it only answers."""
    import httpx  # noqa: PLC0415  slow: `--help` answers at once

    from webhook_app.simulator.graph_api import account as accounts  # noqa: PLC0415
    from webhook_app.simulator.graph_api.graph import SimulatedGraph  # noqa: PLC0415
    from webhook_app.simulator.graph_api.limits import Allowed  # noqa: PLC0415
    from webhook_app.simulator.graph_api.server import graph_server  # noqa: PLC0415
    from webhook_app.simulator.graph_api.triggers import read_triggers  # noqa: PLC0415
    from webhook_app.simulator.graph_api.webhook_poster import WebhookPoster  # noqa: PLC0415

    try:
        triggers = read_triggers(errors, rates)
        rows = accounts.read_templates(templates.read_text()) if templates else accounts.example_templates()
    except ValueError as fault:
        sys.exit(str(fault))
    if url and httpx.URL(url).scheme not in {"http", "https"}:
        sys.exit(f"{url!r} is not an http or https URL")
    account = accounts.SimulatedAccount(
        app_secret=app_secret or accounts.APP_SECRET, callback_url=url or "", templates=rows
    )
    graph = SimulatedGraph(
        account,
        triggers,
        Allowed(sends_per_second, pair_burst, calls_per_hour),
        seed=seed,
        delay_s=delay,
        windows_are_open=open_windows,
    )
    for ending in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs begin with SIGINT ignored
        signal.signal(ending, signal.default_int_handler)
    with ExitStack() as stack:
        poster = stack.enter_context(WebhookPoster(url, account.app_secret, show=click.echo)) if url else None
        server = stack.enter_context(graph_server(graph, poster, host=host, port=port, show=click.echo))
        address = f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
        click.echo(_introduction(address, account, has_own_secret=not app_secret))
        if host not in _LOOPBACK:
            click.echo(f"Everybody who reaches {host} can call it, and make it post webhooks.")
        server.serve_forever()
    click.echo("Stopped.")


def _introduction(address: str, account: "SimulatedAccount", *, has_own_secret: bool) -> str:
    """One screen without an empty line, and one after it."""
    from webhook_app.simulator.graph_api.account import APP_ID, EXPIRED_TOKEN, TOKEN  # noqa: PLC0415

    number = account.numbers[0]
    numbers = [f"{each.phone_number_id} (+{each.display})" for each in account.numbers]
    names = list(dict.fromkeys(str(row["name"]) for row in account.templates))
    templates = textwrap.shorten(", ".join(names), 95, placeholder=" …")
    secret = account.app_secret if has_own_secret else "META_APP_SECRET"
    webhooks = account.callback_url or "none, because there is no --url"
    body = (
        '{"messaging_product": "whatsapp", "to": "4915100131026", "type": "text", "text": {"body": "Hello"}}'
    )
    return f"""\
A simulated Graph API at {address}, any version. Ctrl-C ends it.
  access token   {TOKEN}
  expired one    {EXPIRED_TOKEN}
  app            {APP_ID}, secret: {secret}
  account        {number.waba_id}
  numbers        {", ".join(numbers)}
  templates      {templates}
  webhooks       {webhooks}
A recipient that ends in a code fails with it: 4915100131026 with 131026, 4915100990190 with 190 (short ones after 99).
Without --open-windows a free-form message fails with 131047 until its recipient writes:
  curl -s {address}/simulator/inbound -d from=4915112345678 -d text=Hello
Send a message:
  curl -s {address}/v25.0/{number.phone_number_id}/messages \\
    -H 'Authorization: Bearer {TOKEN}' -H 'Content-Type: application/json' \\
    -d '{body}'
"""
