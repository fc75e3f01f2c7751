"""`webhook-app sessions`: sign out all browsers, or rotate the secret of sessions. No SQL."""

from datetime import UTC, datetime

import click

from webhook_app.cli.database import transaction


@click.group("sessions")
def session_group() -> None:
    """Manage the sessions of the dashboard."""


@session_group.command("end")
def end_sessions() -> None:
    """Sign out every browser."""
    from webhook_app.store.operations import sessions  # noqa: PLC0415

    with transaction() as connection:
        ended = sessions.end_all(connection)
    click.echo(_ended(ended))


@session_group.command("rotate")
def rotate_secret() -> None:
    """Replace the secret of sessions and sign out every browser."""
    from webhook_app.store.operations import sessions  # noqa: PLC0415

    with transaction() as connection:
        ended = sessions.rotate(connection, datetime.now(UTC))
    click.echo(f"The secret was replaced. {_ended(ended)}")


def _ended(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'} ended."
