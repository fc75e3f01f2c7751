"""Opt-outs of erased people, kept as marks that cannot be read back.

A mark is SHA-256 over a secret of this installation and one of the person's keys, computed inside Postgres. For a given
number it says whether the owner opted out; it has no time, no name, and no link to the erasure or to other marks.
"""

from collections.abc import Collection, Iterable
from secrets import token_bytes

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

MARK = "sha256(s.secret || convert_to({key}, 'UTF8'))"
"""SQL for the mark of a key, where `s` is a row of erased_opt_outs_secret."""

_SECRET_BYTES = 32
_ADD_SECRET = text("INSERT INTO erased_opt_outs_secret (secret) VALUES (:secret) ON CONFLICT DO NOTHING")
_ANY = text("SELECT EXISTS (SELECT FROM erased_opt_outs)")
_KEEP = text(f"""
INSERT INTO erased_opt_outs (mark, phone_number_id, scope)
SELECT {MARK.format(key="k.key")}, :number, :scope
FROM erased_opt_outs_secret s CROSS JOIN unnest(CAST(:keys AS text[])) AS k(key)
ORDER BY 1 ON CONFLICT DO NOTHING
""")
_COPY = text(f"""
INSERT INTO erased_opt_outs (mark, phone_number_id, scope)
SELECT {MARK.format(key="k.new")}, w.phone_number_id, w.scope
FROM erased_opt_outs_secret s CROSS JOIN unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS k(old, new)
JOIN erased_opt_outs w ON w.mark = {MARK.format(key="k.old")}
ORDER BY 1 ON CONFLICT DO NOTHING
""")
_DELETE = f"""
DELETE FROM erased_opt_outs w USING erased_opt_outs_secret s CROSS JOIN unnest(CAST(:keys AS text[])) AS k(key)
WHERE w.mark = {MARK.format(key="k.key")}
"""


def keep(connection: Connection, keys: Collection[str], opt_outs: Iterable[tuple[str, str]]) -> None:
    """Store a mark of each key for each opt-out: (business number or '' for all, scope)."""
    for number, scope in sorted(set(opt_outs)):
        connection.execute(_ADD_SECRET, {"secret": token_bytes(_SECRET_BYTES)})
        connection.execute(_KEEP, {"keys": list(keys), "number": number, "scope": scope})


def copy(connection: Connection, changed: Collection[tuple[str, str]]) -> None:
    """Keep the opt-outs of erased people for the new keys as well, after changes from an old key to a new one."""
    old, new = zip(*changed, strict=True)
    connection.execute(_COPY, {"old": list(old), "new": list(new)})


def forget(
    connection: Connection,
    keys: Collection[str],
    phone_number_ids: Collection[str] | None = None,
    scope: str | None = None,
) -> int:
    """Delete the marks of these keys, for some business numbers and one scope (None: any). Returns how many."""
    statement = _DELETE
    statement += "" if phone_number_ids is None else " AND w.phone_number_id = ANY(:numbers)"
    statement += "" if scope is None else " AND w.scope = :scope"
    values: dict[str, object] = {"keys": list(keys)}
    values |= {} if phone_number_ids is None else {"numbers": list(phone_number_ids)}
    values |= {} if scope is None else {"scope": scope}
    return connection.execute(text(statement), values).rowcount


def are_kept(connection: Connection) -> bool:
    """Whether any marks are stored."""
    return bool(connection.execute(_ANY).scalar_one())
