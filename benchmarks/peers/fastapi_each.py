"""The same FastAPI receiver, but a POST with many statuses awaits its INSERTs one by one."""

from typing import Any

from benchmarks.peers.fastapi_asyncpg import INSERT, Row, create_app


async def insert_each(connection: Any, rows: list[Row]) -> None:
    async with connection.transaction():
        for row in rows:
            await connection.execute(INSERT, *row)


app = create_app(insert_each)
