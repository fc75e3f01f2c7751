"""Hashes of ids and texts have a random key of the installation, so that nobody can make up an id with a given hash.

An installation with data keeps the plain hash, because stored hashes cannot be computed again. A key as the seed alone
would not be enough: some differences between two texts cancel in this hash whatever its seed. They hardly do where the
seed is itself a keyed hash of the text, shifted by one character.
"""

from secrets import randbits

from alembic import op
from sqlalchemy import text

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_IS_EMPTY = text("""
SELECT NOT EXISTS (SELECT FROM status_events) AND NOT EXISTS (SELECT FROM message_stages)
   AND NOT EXISTS (SELECT FROM failure_errors)
""")
# Postgres inlines such functions: an index on the expression inside them fits, and calls cost nothing more.
_FUNCTIONS = """
CREATE FUNCTION keyed_hash(value TEXT) RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT hashtextextended(value, {seed_of_value}) $$;
CREATE FUNCTION keyed_hash(message_id TEXT, phone_number_id TEXT) RETURNS BIGINT LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT hashtextextended(message_id, {seed_of_id} + hashtext(phone_number_id)) $$;
"""
_INDEX = """
DROP INDEX status_events_identity;
CREATE UNIQUE INDEX status_events_identity ON status_events (
    {hash}, occurred_at, status, participant, error_code, hashtext(phone_number_id)
);
"""
_LABEL = """
CREATE OR REPLACE FUNCTION failures_label() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    code BIGINT := -1;
    subcode BIGINT := -1;
    last INTEGER;
BEGIN
    NEW.error_id := {hash}(
        NEW.error_code || E'\\x1f' || NEW.error_subcode || E'\\x1f' || NEW.source || E'\\x1f' || NEW.title
        || E'\\x1f' || NEW.details{seed});
    IF EXISTS (SELECT FROM failure_errors WHERE id = NEW.error_id) THEN
        RETURN NEW;
    END IF;
    SELECT coalesce(max(of_hour), 0) INTO last FROM (
        SELECT of_hour FROM failure_errors
        WHERE first_at >= date_trunc('hour', NEW.received_at) AND first_at <= NEW.received_at AND of_hour IS NOT NULL
        ORDER BY first_at DESC, of_hour DESC LIMIT 1) AS newest;
    IF last < 2000 THEN
        INSERT INTO failure_errors (id, error_code, error_subcode, source, title, details, first_at, of_hour)
        VALUES (NEW.error_id, NEW.error_code, NEW.error_subcode, NEW.source, NEW.title, NEW.details, NEW.received_at,
                last + 1)
        ON CONFLICT DO NOTHING;
        RETURN NEW;
    END IF;
    -- Beyond the ceiling all texts of a code share a row, and so do all codes that had no row before.
    IF EXISTS (SELECT FROM failure_errors WHERE error_code = NEW.error_code) THEN
        code := NEW.error_code;
        IF EXISTS (SELECT FROM failure_errors
                   WHERE error_code = NEW.error_code AND error_subcode = NEW.error_subcode) THEN
            subcode := NEW.error_subcode;
        END IF;
    END IF;
    NEW.error_id := {hash}(
        code || E'\\x1f' || subcode || E'\\x1f' || NEW.source || E'\\x1f' || '(other)' || E'\\x1f'{seed});
    INSERT INTO failure_errors (id, error_code, error_subcode, source, title, details, first_at)
    VALUES (NEW.error_id, code, subcode, NEW.source, '(other)', '', NEW.received_at)
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    is_empty = op.get_bind().execute(_IS_EMPTY).scalar_one()
    seed = "hashtextextended('.' || {}, {})" if is_empty else "0"
    key = randbits(60)
    op.execute(
        _FUNCTIONS.format(seed_of_value=seed.format("value", key), seed_of_id=seed.format("message_id", key))
    )
    op.execute(_LABEL.format(hash="keyed_hash", seed=""))
    if is_empty:
        op.execute(_INDEX.format(hash="keyed_hash(message_id)"))


def downgrade() -> None:
    op.execute(_INDEX.format(hash="hashtextextended(message_id, 0)"))
    op.execute(_LABEL.format(hash="hashtextextended", seed=", 0"))
    op.execute("DROP FUNCTION keyed_hash(TEXT); DROP FUNCTION keyed_hash(TEXT, TEXT)")
