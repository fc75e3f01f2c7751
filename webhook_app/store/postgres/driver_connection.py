"""The driver's connection, with less work for each statement of a hot path. No queries."""

from functools import cached_property
from typing import Any, TypeVar

import psycopg
from gevent.monkey import is_module_patched  # type: ignore[import-untyped]
from gevent.socket import wait_read, wait_readwrite  # type: ignore[import-untyped]
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

Answer = TypeVar("Answer")


class DriverConnection(psycopg.Connection[Any]):
    """A connection of the driver, for ingest and checks. `Connection` is SQLAlchemy's, for everything else."""

    @cached_property
    def kept_cursor(self) -> "psycopg.RawCursor[Any]":
        """A cursor for statements with $1, one at a time: making one for each costs as much as a short statement."""
        return psycopg.RawCursor(self)

    def wait(self, gen: PQGen[Answer], *how: Any, **more: Any) -> Answer:
        """Wait for Postgres. In a gevent worker others run meanwhile, without the objects psycopg makes each time."""
        if how or more or not is_module_patched("select"):
            return super().wait(gen, *how, **more)
        try:
            wanted = next(gen)
            while True:
                if wanted == Wait.R:
                    wait_read(self.pgconn.socket)
                    wanted = gen.send(Ready.R)
                else:
                    wait_readwrite(self.pgconn.socket)
                    wanted = gen.send(Ready.RW)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
