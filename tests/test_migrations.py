"""The migrations build exactly the schema page, from empty, twice without harm, and back down."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from webhook_app.migrating import migrate_database
from webhook_app.store.partitions import partitions
from webhook_app.store.readiness import migrations_fault
from webhook_app.store.schema import PARTITIONED, metadata


def test_migrations_and_schema_page_agree(engine: Engine) -> None:
    def ours(_thing: object, name: str | None, kind: str, reflected: bool, _other: object) -> bool:
        return not (kind == "table" and reflected and name not in metadata.tables)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing_and_leaves_nothing_pending(
    engine: Engine, database_url: str
) -> None:
    migrate_database(database_url)
    with engine.connect() as connection:
        assert migrations_fault(connection) == ""


def test_every_partitioned_table_has_its_partitions_ahead_and_a_default(engine: Engine) -> None:
    with engine.connect() as connection:
        for table, step in PARTITIONED.items():
            dated = partitions(connection, table)
            assert len(dated) >= (8 if step == "day" else 1)
            default = connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{table}_default"})
            assert default.scalar_one() is not None


def test_the_way_down_leaves_an_empty_database(engine: Engine, database_url: str) -> None:
    config = Config("alembic.ini")
    config.attributes["url"] = database_url
    command.downgrade(config, "base")
    with engine.connect() as connection:
        left = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            )
        )
        assert list(left.scalars()) == ["alembic_version"]


def test_a_database_that_was_never_migrated_is_said_to_be_behind(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with engine.connect() as connection:
        assert migrations_fault(connection) != ""


def test_failures_stored_before_they_were_labelled_are_labelled_and_indexed(
    engine: Engine, database_url: str
) -> None:
    config = Config("alembic.ini")
    config.attributes["url"] = database_url
    command.downgrade(config, "0015")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO failures (message_id, occurred_at, error_code, series_id, details, received_at)"
                " SELECT 'wamid.' || i, now() - i * interval '1 hour', 131026, 1, 'details ' || i % 3, now()"
                " FROM generate_series(1, 5000) i"
            )
        )
    command.upgrade(config, "head")
    with engine.connect() as connection:
        known = connection.execute(
            text(
                "SELECT count(*), count(DISTINCT error_id), count(e.id) FROM failures f"
                " LEFT JOIN failure_errors e ON e.id = f.error_id AND e.details = f.details"
            )
        ).one()
        indexed = connection.execute(
            text(
                "SELECT count(*) FROM pg_inherits p JOIN pg_inherits i ON i.inhparent = 'failures_kind'::regclass"
                " JOIN pg_index x ON x.indexrelid = i.inhrelid AND x.indrelid = p.inhrelid AND x.indisvalid"
                " WHERE p.inhparent = 'failures'::regclass"
            )
        ).scalar_one()
        partitions_held = connection.execute(
            text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'failures'::regclass")
        ).scalar_one()
    assert tuple(known) == (5000, 3, 5000)
    assert indexed == partitions_held
