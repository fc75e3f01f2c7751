"""How far the feed of suppression changes has come: the version of every answer about who may be written to."""

from sqlalchemy import Connection, text


def latest_seq(connection: Connection) -> int:
    """The number of the latest change, 0 before the first."""
    found = connection.execute(text("SELECT coalesce(max(seq), 0) FROM suppression_changes"))
    return int(found.scalar_one())
