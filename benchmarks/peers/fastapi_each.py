"""The FastAPI receiver as it is usually written: the INSERTs of a POST one by one, in one transaction or in none."""

from typing import Any

from benchmarks.peers.fastapi_asyncpg import INSERT, Row, create_app


async def insert_each(connection: Any, rows: list[Row]) -> None:
    for row in rows:
        await connection.execute(INSERT, *row)  # without a transaction each commits by itself


async def insert_each_in_one_transaction(connection: Any, rows: list[Row]) -> None:
    async with connection.transaction():
        await insert_each(connection, rows)


app = create_app(insert_each)
app_in_one_transaction = create_app(insert_each_in_one_transaction)
