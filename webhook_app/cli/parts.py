"""Commands that run the parts of the service: up, migrate, scheduler."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook_app.cli.database import read_rules, report

if TYPE_CHECKING:
    from webhook_app.up import Running


@click.command()
def up() -> None:
    """Run all parts on this machine: Postgres (embedded unless DATABASE_URL is set), web and scheduler."""
    from webhook_app.cli.first_reading import FirstReading  # noqa: PLC0415
    from webhook_app.settings import process_environment  # noqa: PLC0415
    from webhook_app.up import StopRequestedError, everything  # noqa: PLC0415

    began, code = datetime.now(UTC), None
    try:
        with everything(process_environment(), report=report) as running:
            _greet(running)
            if running.settings.meta_access_token:
                reading = FirstReading(running.settings.database_url, began, click.echo)
                while not reading.has_ended and (code := running.ended()) is None:
                    reading.look()
                    time.sleep(1)
            else:
                click.echo("Doctor: META_ACCESS_TOKEN is not set, so Meta is not asked.")
            sys.exit(code or running.wait())
    except StopRequestedError:
        click.echo("Stopped.")


@click.command()
def migrate() -> None:
    """Upgrade the database schema and create partitions for the coming days."""
    from webhook_app.data_folder import DataFolder  # noqa: PLC0415
    from webhook_app.migrating import MigrationError, migrate_database  # noqa: PLC0415
    from webhook_app.settings import is_set, process_environment, read_database_url  # noqa: PLC0415

    try:
        if is_set(environment := process_environment(), "DATABASE_URL"):
            migrate_database(read_database_url())
        else:
            with DataFolder(environment).open_database(report) as url:
                migrate_database(url)
    except MigrationError as fault:
        sys.exit(str(fault))


@click.command()
def scheduler() -> None:
    """Run the jobs: evaluate, notify, suppress, prune. You can start several; one of them leads."""
    from webhook_app import collect_garbage_rarely, logs  # noqa: PLC0415
    from webhook_app.scheduler.leading import run  # noqa: PLC0415
    from webhook_app.settings import read_settings  # noqa: PLC0415

    settings = read_settings()
    logs.configure(settings.log_format)
    rules = read_rules(settings.rules_file)
    collect_garbage_rarely()
    run(settings, rules)


def _greet(running: "Running") -> None:
    settings = running.settings
    public = settings.public_url.rstrip("/") or running.url
    click.echo(f"""
webhook_app is running. Ctrl-C stops it; the data stays in {settings.data_dir}/.

  Webhook URL     {public}/webhook
  Verify token    {_shown(running, "META_VERIFY_TOKEN")}
  Dashboard       {public}/
  Admin API key   {_shown(running, "ADMIN_API_KEY")}
  API docs        {public}/docs

Try it:  {_typed_command()} simulate --scenario outage   (in another terminal)
""")


def _shown(running: "Running", name: str) -> str:
    """A secret that `up` made itself; for one that it was given, the variable's name."""
    if made := running.made.get(name):
        return made
    given = next((each for each in (f"{name}_FILE", name) if running.environment.get(each)), None)
    return f"from {given}" if given else f"none: {name} is not set"


def _typed_command() -> str:
    """This command as the user can type it in this folder."""
    path = Path(sys.argv[0]).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
