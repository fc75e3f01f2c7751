"""The columns that every table has, and the one set of tables. No tables."""

from sqlalchemy import Column, DateTime, MetaData, Text

metadata = MetaData()


def a_time(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null)


def a_text(name: str) -> Column[object]:
    """Text that is never null: an empty string means absent, so that it can take part in unique keys.

    Compared byte by byte: identifiers have no language, and a locale's order costs several times as much.
    """
    return Column(name, Text(collation="C"), nullable=False, server_default="")
