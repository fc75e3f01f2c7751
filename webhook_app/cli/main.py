"""`webhook-app`: the command group. A fault ends a command with one line and exit code 1, without a traceback.

Commands import what they need when they run: `webhook-app --help` answers at once.
"""

import sys
from typing import Any

import click

from webhook_app.cli import check, codes, data, doctor, keys, parts, sessions, trials
from webhook_app.cli.database import database_message


class _Commands(click.Group):
    """Turns the faults that an operator can cause into messages."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as fault:
            if message := _message(fault):
                sys.exit(message)
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="webhook-app")
def main() -> None:
    """Receives WhatsApp webhooks, alerts on failures and keeps a list of suppressed contacts."""


def _message(fault: Exception) -> str:
    """The message for an error in settings, files, rules or database; empty for any other error, which is a bug."""
    from webhook_app.embedded import StartupError  # noqa: PLC0415  slow: see above
    from webhook_app.pipeline.receiving.replay import ReplayBusyError  # noqa: PLC0415
    from webhook_app.rules.incidents.rules_file.rules_file import RulesFileError  # noqa: PLC0415
    from webhook_app.settings import SettingsError  # noqa: PLC0415
    from webhook_app.store.postgres.errors import DriverError, EngineError  # noqa: PLC0415

    if isinstance(fault, (click.ClickException, click.exceptions.Exit, click.Abort)):
        return ""
    if isinstance(fault, (StartupError, ReplayBusyError, RulesFileError, SettingsError)):
        return str(fault)
    if isinstance(fault, (DriverError, EngineError)):
        return f"The database cannot be used: {database_message(fault)}"
    if isinstance(fault, OSError):
        return f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault)
    return ""


for command in (
    *(parts.up, parts.migrate, parts.scheduler, check.check, doctor.doctor, keys.api_key, codes.codes),
    sessions.session_group,
    *(data.replay, data.prune, data.erase, trials.simulate, trials.demo, trials.backtest),
):
    main.add_command(command)


if __name__ == "__main__":
    main()
