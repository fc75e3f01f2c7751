"""Erasing a person in the test's database."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from webhook_app.pipeline.people.erase import Erased, erase
from webhook_app.store.postgres.engine import Connect, connect


@pytest.fixture
def connecting(database_url: str) -> Connect:
    """Opens a connection of the driver."""
    return lambda: connect(database_url, application="tests")


@pytest.fixture
def forget(engine: Engine, connecting: Connect, now: datetime) -> Callable[..., Erased]:
    """Erases a contact now, unless another time is given."""

    def run(contact: str, **more: Any) -> Erased:
        return erase(engine, connecting, contact, **{"actor": "tester", "now": now} | more)

    return run
