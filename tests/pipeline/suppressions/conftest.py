"""The time and the people of tests of suppression."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import Engine

from tests.pipeline.world import World


@pytest.fixture
def now(now: datetime) -> datetime:
    """Today at noon: an hour before is the same day, whenever the test runs."""
    return now.replace(hour=12, minute=34, second=56)


@pytest.fixture
def world(engine: Engine, database_url: str, now: datetime) -> Iterator[World]:
    """People whose messages fail or are delivered."""
    made = World(engine, database_url, now)
    yield made
    made.close()
