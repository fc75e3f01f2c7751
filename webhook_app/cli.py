"""`webhook-app`: starts the parts and runs the tools. Reads settings, prints; rules and SQL live below.

Imports stand inside the commands where they are slow: `webhook-app --help` should answer at once.
"""

import os
import sys

import click

from webhook_app.settings import Settings, SettingsError, read_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="webhook-app")
def main() -> None:
    """Receives WhatsApp webhooks, alerts on failures, keeps the list of contacts not to write to."""


@main.command()
def up() -> None:
    """Run everything here: Postgres (embedded unless DATABASE_URL is set), web and scheduler."""
    from webhook_app.up import StopRequestedError, everything  # noqa: PLC0415

    try:
        with everything(os.environ) as running:
            _greet(running.settings, running.url)
            sys.exit(running.wait())
    except StopRequestedError:
        click.echo("Stopped.")
    except (SettingsError, RuntimeError) as fault:
        sys.exit(str(fault))


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date and create the coming partitions."""
    from webhook_app.migrating import migrate_database  # noqa: PLC0415

    url = os.environ.get("DATABASE_URL", "")
    if not url:
        sys.exit("DATABASE_URL: is required")
    migrate_database(url)


def _settings() -> Settings:
    try:
        return read_settings()
    except SettingsError as fault:
        sys.exit(str(fault))


def _greet(settings: Settings, url: str) -> None:
    public = settings.public_url.rstrip("/") or url
    click.echo(f"""
webhook_app is running. Ctrl-C stops it; the data stays in {settings.data_dir}/.

  Webhook URL     {public}/webhook
  Verify token    {settings.meta_verify_token}
  Dashboard       {public}/
  Admin API key   {settings.admin_api_key or "none: ADMIN_API_KEY is not set"}
  API docs        {public}/docs

Try it:  webhook-app simulate --scenario outage   (in another terminal)
""")


if __name__ == "__main__":
    main()
