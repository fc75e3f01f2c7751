"""Commands for trying things out: simulated webhooks, the demo, backtests. No SQL."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from webhook_app.cli.database import read_rules, settings_with_database
from webhook_app.cli.simulated_graph import graph_options, serve_graph


@click.command()
@click.option("--scenario", default="steady", show_default=True, help="scenario to run; --list shows them")
@click.option("--list", "list_them", is_flag=True, help="list the scenarios and exit")
@click.option("--url", default=None, help="webhook URL  [default: the local one; none with --graph]")
@click.option("--rate", default=20.0, show_default=True, help="messages per second")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1, 1000), help="changes per POST")
@click.option("--duration", default=60.0, show_default=True, help="seconds")
@click.option("--seed", default=1, show_default=True, help="a seed always sends the same messages")
@click.option("--duplicates", default=0.02, show_default=True, help="share of POSTs sent twice")
@click.option(
    "--reorder", default=2.0, show_default=True, help="maximum delay in seconds that reorders POSTs"
)
@click.option(
    "--history", default=0, show_default=True, help="number of contacts with failures on earlier days"
)
@click.option("--api-key", default="", help="key for reporting send calls  [default: ADMIN_API_KEY]")
@click.option("--json", "as_json_", is_flag=True, help="print the report as JSON")
@graph_options
def simulate(
    scenario: str,
    list_them: bool,
    url: str | None,
    rate: float,
    batch: int,
    duration: float,
    seed: int,
    duplicates: float,
    reorder: float,
    history: int,
    api_key: str,
    as_json_: bool,
    graph: bool,
    **graph_values: Any,
) -> None:
    """Simulate Meta: send signed webhooks with every status of each message, and report the acknowledgements.

    With --graph it serves a Graph API instead: it takes sends, answers errors, and posts the webhooks that follow.
    """
    if graph:
        serve_graph(url=url, seed=seed, app_secret=_app_secret(_environment()), **graph_values)
        return
    from webhook_app.simulator.report import as_json, as_text  # noqa: PLC0415
    from webhook_app.simulator.run import HandshakeError, run  # noqa: PLC0415
    from webhook_app.simulator.scenarios import SCENARIOS  # noqa: PLC0415

    if list_them:
        for each in SCENARIOS.values():
            click.echo(f"{each.name:16} {each.description}")
        return
    secret, token, local, admin_key = _target()
    try:
        report = run(
            scenario=scenario,
            url=url or local,
            app_secret=secret,
            verify_token=token,
            api_key=api_key or admin_key,
            progress=lambda line: click.echo(f"\r{line}", nl=False, err=True),
            rate=rate,
            batch=batch,
            duration=duration,
            seed=seed,
            duplicates=duplicates,
            reorder=reorder,
            history=history,
        )
    except (ValueError, HandshakeError) as fault:
        sys.exit(str(fault))
    click.echo("", err=True)
    click.echo(as_json(report) if as_json_ else as_text(report))
    sys.exit(0 if report.complete else 1)


@click.command()
@click.option(
    "--stay/--leave", default=None, help="keep the service running afterwards  [default: on a terminal]"
)
def demo(stay: bool | None) -> None:
    """Show a week of history and a simulated outage, in the terminal and on the dashboard. Keeps no data."""
    from webhook_app.demo import walkthrough  # noqa: PLC0415
    from webhook_app.up import StopRequestedError  # noqa: PLC0415

    try:
        walkthrough.run_demo(click.echo, stay=walkthrough.stays_by_default() if stay is None else stay)
    except StopRequestedError:
        click.echo("Stopped.")


@click.command()
@click.argument(
    "rules_path", metavar="[RULES]", required=False, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--rules", "rules_option", type=click.Path(path_type=Path, dir_okay=False), help="alternative to RULES"
)
@click.option("--days", default=7.0, show_default=True, type=click.FloatRange(0, 90, min_open=True))
@click.option("--since", default=None, help="start, ISO 8601; UTC without an offset  [default: --days ago]")
@click.option("--until", default=None, help="end, ISO 8601  [default: now]")
@click.option(
    "--step", default=60, show_default=True, type=click.IntRange(15, 3600), help="seconds between evaluations"
)
@click.option("--json", "as_json_", is_flag=True, help="print the report as JSON")
def backtest(
    rules_path: Path | None,
    rules_option: Path | None,
    days: float,
    since: str | None,
    until: str | None,
    step: int,
    as_json_: bool,
) -> None:
    """Evaluate a rules file over stored data: the incidents, notifications and suppressions it would have caused.

    Without RULES it evaluates the active rules. It changes nothing.
    """
    import msgspec  # noqa: PLC0415

    from webhook_app.pipeline.operations.backtest import as_json  # noqa: PLC0415
    from webhook_app.pipeline.operations.backtest import backtest as run_backtest  # noqa: PLC0415
    from webhook_app.pipeline.operations.backtest_text import as_text  # noqa: PLC0415
    from webhook_app.rules.suppressions.streaks import Thresholds  # noqa: PLC0415
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    end = _moment(until, "--until") if until else datetime.now(UTC)
    start = _moment(since, "--since") if since else end - timedelta(days=days)
    if start >= end:
        sys.exit("--since: must be before --until")
    with settings_with_database() as settings:
        rules = read_rules(rules_option or rules_path or settings.rules_file)
        engine = make_engine(
            settings.database_url, application="webhook_app backtest", statement_seconds=600, pool_size=0
        )
        with click.progressbar(length=1000, label="Evaluating the past", file=sys.stderr) as bar:
            outcome = run_backtest(
                engine,
                rules,
                start,
                end,
                Thresholds(failures=settings.soft_failures, days=settings.soft_days),
                step=timedelta(seconds=step),
                progress=lambda share: bar.update(int(1000 * share) - bar.pos),
            )
    click.echo(msgspec.json.encode(as_json(outcome)).decode() if as_json_ else as_text(outcome))


def _moment(given: str, option: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        sys.exit(f"{option}: {given!r} is not a time in ISO 8601, such as 2026-11-29T12:00:00Z")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _target() -> tuple[str, str, str, str]:
    """App secret, verify token, webhook URL and admin key of the local service: as given, else as `up` made them."""
    from webhook_app.settings import read_variable  # noqa: PLC0415

    environment = _environment()
    secret = _app_secret(environment)
    if not secret:
        sys.exit("META_APP_SECRET: is required, or a data folder in which `webhook-app up` made one")
    local = f"http://127.0.0.1:{read_variable(environment, 'PORT') or 8000}/webhook"
    token, admin_key = (read_variable(environment, name) for name in ("META_VERIFY_TOKEN", "ADMIN_API_KEY"))
    return secret, token, local, admin_key


def _environment() -> dict[str, str]:
    from webhook_app.data_folder import DataFolder  # noqa: PLC0415
    from webhook_app.settings import process_environment  # noqa: PLC0415

    environment = process_environment()
    return environment | DataFolder(environment).made_secrets()


def _app_secret(environment: dict[str, str]) -> str:
    from webhook_app.settings import read_variable  # noqa: PLC0415

    return read_variable(environment, "META_APP_SECRET").split(",")[0].strip()
