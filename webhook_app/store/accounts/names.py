"""The names of business numbers and accounts, by Meta's ids."""

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

# The Graph API knows verified names; webhooks only the digits of a number.
_NAMES = text("""
SELECT phone_number_id AS id, '+' || (array_agg(display_phone_number ORDER BY seen_at DESC))[1] AS name
FROM business_numbers WHERE display_phone_number <> '' GROUP BY phone_number_id
UNION ALL
SELECT subject_id, name FROM doctor_checks WHERE subject IN ('account', 'number') AND name <> ''
""")


def names(connection: Connection) -> dict[str, str]:
    """The name of each id: from the Graph API if it was read, else the number as webhooks show it."""
    return {row[0]: row[1] for row in connection.execute(_NAMES)}
