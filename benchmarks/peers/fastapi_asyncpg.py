"""A careful FastAPI receiver: signature, INSERT of the statuses, commit, then 200. No counts, no archive.

`python -m benchmarks.peers.fastapi_asyncpg` creates its table.
"""

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from fastapi import FastAPI, Request, Response

Row = tuple[Any, ...]

SECRET = os.environ["META_APP_SECRET"].encode()

TABLE = """
CREATE TABLE statuses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    phone_number_id text NOT NULL,
    status text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recipient text,
    callback_data text,
    error_code bigint,
    errors jsonb,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX statuses_identity ON statuses (message_id, status, occurred_at);
CREATE INDEX statuses_recipient ON statuses (recipient, occurred_at);
CREATE INDEX statuses_failures ON statuses (error_code, occurred_at);
"""

INSERT = """
INSERT INTO statuses
    (message_id, phone_number_id, status, occurred_at, recipient, callback_data, error_code, errors)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


async def insert_together(connection: Any, rows: list[Row]) -> None:
    if len(rows) == 1:
        await connection.execute(INSERT, *rows[0])
    else:
        await connection.executemany(INSERT, rows)  # one transaction, pipelined by asyncpg


def create_app(insert: Callable[[Any, list[Row]], Awaitable[None]]) -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.post("/webhook")
    async def receive(request: Request) -> Response:
        body = await request.body()
        expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
            return Response(status_code=401)
        rows = status_rows(json.loads(body))
        async with request.app.state.pool.acquire() as connection:
            await insert(connection, rows)
        return Response(status_code=200)

    return app


app = create_app(insert_together)


def status_rows(payload: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for entry in payload["entry"]:
        for change in entry["changes"]:
            value = change["value"]
            phone_number_id = value["metadata"]["phone_number_id"]
            rows.extend(status_row(phone_number_id, status) for status in value.get("statuses", []))
    return rows


def status_row(phone_number_id: str, status: dict[str, Any]) -> Row:
    errors = status.get("errors")
    return (
        status["id"],
        phone_number_id,
        status["status"],
        datetime.fromtimestamp(int(status["timestamp"]), UTC),
        status.get("recipient_id"),
        status.get("biz_opaque_callback_data"),
        errors[0]["code"] if errors else None,
        json.dumps(errors) if errors else None,
    )


async def make_table() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(TABLE)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(make_table())
