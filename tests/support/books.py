"""The books, added up by SQL of their own."""

from sqlalchemy import Engine, text

OUTCOMES = ("applied", "duplicate", "ignored", "quarantined")


def read_books(engine: Engine) -> dict[str, int]:
    """Return the items received and by outcome. Fails unless they balance."""
    sums = ", ".join(f"coalesce(sum({name}), 0)::int AS {name}" for name in ("received", *OUTCOMES))
    with engine.connect() as connection:
        found = dict(connection.execute(text(f"SELECT {sums} FROM books")).one()._mapping)
    assert found["received"] == sum(found[name] for name in OUTCOMES), found
    return found
