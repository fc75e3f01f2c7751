"""How much room the data takes on disk. Looks at files, not at rows."""

from sqlalchemy import Connection, text


def database_bytes(connection: Connection) -> int:
    """The size of this database on disk, indexes included."""
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
