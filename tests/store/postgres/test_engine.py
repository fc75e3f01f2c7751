"""Connections of the pool are used without being asked first, and yet an ended one is never handed out."""

from sqlalchemy import text

from webhook_app.store.postgres.engine import connect, make_engine


def test_a_connection_that_the_server_ended_is_replaced_before_its_use(database_url: str) -> None:
    engine = make_engine(database_url, application="tests", pool_size=1)
    mine = text("SELECT pg_backend_pid()")
    with engine.connect() as connection:
        first = connection.execute(mine).scalar_one()
    with engine.connect() as connection:
        assert connection.execute(mine).scalar_one() == first, "an idle one is used again"
    with connect(database_url, application="tests") as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    with engine.connect() as connection:
        assert connection.execute(mine).scalar_one() != first
    engine.dispose()
