"""The metadata that holds all tables, and the two kinds of columns that most tables have."""

from sqlalchemy import Column, DateTime, MetaData, Text

metadata = MetaData()


def a_time(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null)


def a_text(name: str) -> Column[object]:
    """A text column that is never null: an empty string means unknown, so that it can be part of unique keys.

    The collation compares bytes: identifiers have no language, and a locale's order costs several times as much.
    """
    return Column(name, Text(collation="C"), nullable=False, server_default="")
