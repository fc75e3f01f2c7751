"""What people who were erased had asked for: not to be written to. Kept as marks that nobody can read back.

A mark is SHA-256 over a secret of this installation and one of the person's keys, made inside Postgres. Given a number
it says whether its owner had opted out; it has no time, no name, and no link to the erasure or to other marks.
"""

from collections.abc import Collection, Iterable
from secrets import token_bytes

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

MARK = "sha256(s.secret || convert_to({key}, 'UTF8'))"
"""SQL for the mark of a key, where `s` is a row of erased_opt_outs_secret."""

_SECRET_BYTES = 32
_KEEP = text(f"""
INSERT INTO erased_opt_outs (mark, phone_number_id, scope)
SELECT {MARK.format(key="k.key")}, :number, :scope
FROM erased_opt_outs_secret s CROSS JOIN unnest(CAST(:keys AS text[])) AS k(key)
ORDER BY 1 ON CONFLICT DO NOTHING
""")
_FORGET = f"""
DELETE FROM erased_opt_outs w USING erased_opt_outs_secret s CROSS JOIN unnest(CAST(:keys AS text[])) AS k(key)
WHERE w.mark = {MARK.format(key="k.key")}
"""


def keep(connection: Connection, keys: Collection[str], wishes: Iterable[tuple[str, str]]) -> None:
    """Remember for each of these keys the wishes: (business number, empty for all of them; scope)."""
    for number, scope in sorted(set(wishes)):
        connection.execute(
            text("INSERT INTO erased_opt_outs_secret (secret) VALUES (:secret) ON CONFLICT DO NOTHING"),
            {"secret": token_bytes(_SECRET_BYTES)},
        )
        connection.execute(_KEEP, {"keys": list(keys), "number": number, "scope": scope})


def forget(
    connection: Connection,
    keys: Collection[str],
    phone_number_ids: Collection[str] | None = None,
    scope: str | None = None,
) -> int:
    """The person thought otherwise, or somebody answers for it; None: any. Returns how many marks went."""
    statement = _FORGET
    statement += "" if phone_number_ids is None else " AND w.phone_number_id = ANY(:numbers)"
    statement += "" if scope is None else " AND w.scope = :scope"
    values: dict[str, object] = {"keys": list(keys)}
    values |= {} if phone_number_ids is None else {"numbers": list(phone_number_ids)}
    values |= {} if scope is None else {"scope": scope}
    return connection.execute(text(statement), values).rowcount


def are_kept(connection: Connection) -> bool:
    """Whether there are any."""
    return bool(connection.execute(text("SELECT EXISTS (SELECT FROM erased_opt_outs)")).scalar_one())
