"""A database that a test can make unavailable."""

from typing import Any

import psycopg

from webhook_app.store.postgres.engine import connect


class Switch:
    """Opens a connection when called, unless the database is away."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self.is_away = True

    def __call__(self) -> psycopg.Connection[Any]:
        if self.is_away:
            raise psycopg.OperationalError("nobody there")
        return connect(self._url, application="checks")
