"""`webhook-app api-key`: create, rotate, list and revoke API keys. No SQL."""

import sys
from datetime import UTC, datetime

import click

from webhook_app.cli.database import transaction


@click.group("api-key")
def api_key() -> None:
    """Create, rotate, list and revoke API keys for programs and people."""


@api_key.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["sender", "viewer", "admin"]), required=True)
def create_key(name: str, role: str) -> None:
    """Create a key and print it. It cannot be shown again. No other key may have, or have had, its name."""
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    try:
        with transaction() as connection:
            made = api_keys.create(connection, name, role, datetime.now(UTC))
    except api_keys.KeyNameError as fault:
        sys.exit(str(fault))
    click.echo(made.secret)


@api_key.command("rotate")
@click.argument("key_id", type=int)
def rotate_key(key_id: int) -> None:
    """Print another key with the same name and role. The earlier one works until you revoke it.

    Reports, retries and caps belong to the name, so the new key goes on with them.
    """
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    with transaction() as connection:
        made = api_keys.rotate(connection, key_id, datetime.now(UTC))
    if made is None:
        sys.exit(f"There is no active key {key_id}.")
    click.echo(made.secret)


@api_key.command("list")
def list_keys() -> None:
    """Show all keys, without their secrets."""
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    with transaction() as connection:
        keys = api_keys.list_keys(connection)
    for key in keys:
        used = f"used {key.used_at:%Y-%m-%d %H:%M}" if key.used_at else "unused"
        state = "revoked" if key.revoked_at else used
        click.echo(f"{key.id:5}  {key.prefix}…  {key.role:7} {state:22} {key.name}")


@api_key.command("revoke")
@click.argument("key_id", type=int)
def revoke_key(key_id: int) -> None:
    """Revoke a key. All processes reject it within seconds."""
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    with transaction() as connection:
        is_revoked = api_keys.revoke(connection, key_id, datetime.now(UTC))
    if not is_revoked:
        sys.exit(f"There is no active key {key_id}.")
