"""A usual receiver: Flask, SQLAlchemy ORM, sync workers; select, insert, commit. No counts, no archive.

`python -m benchmarks.peers.flask_orm` creates its table.
"""

import hashlib
import hmac
import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, request
from sqlalchemy import DateTime, UniqueConstraint, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

SECRET = os.environ["META_APP_SECRET"].encode()

app = Flask(__name__)
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1))


class Model(DeclarativeBase):
    pass


class Status(Model):
    __tablename__ = "statuses"
    __table_args__ = (UniqueConstraint("message_id", "status", "occurred_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str]
    phone_number_id: Mapped[str]
    status: Mapped[str]
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recipient: Mapped[str | None] = mapped_column(index=True)
    callback_data: Mapped[str | None]
    error_code: Mapped[int | None] = mapped_column(index=True)
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)


@app.post("/webhook")
def receive() -> tuple[str, int]:
    expected = "sha256=" + hmac.new(SECRET, request.get_data(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
        return "", 401
    with Session(engine) as session:
        for entry in request.get_json()["entry"]:
            for change in entry["changes"]:
                store(session, change["value"])
        session.commit()
    return "", 200


def store(session: Session, value: dict[str, Any]) -> None:
    for status in value.get("statuses", []):
        occurred_at = datetime.fromtimestamp(int(status["timestamp"]), UTC)
        known = select(Status.id).where(
            Status.message_id == status["id"],
            Status.status == status["status"],
            Status.occurred_at == occurred_at,
        )
        if session.execute(known).first() is None:
            session.add(new_status(value["metadata"]["phone_number_id"], status, occurred_at))


def new_status(phone_number_id: str, status: dict[str, Any], occurred_at: datetime) -> Status:
    errors = status.get("errors")
    return Status(
        message_id=status["id"],
        phone_number_id=phone_number_id,
        status=status["status"],
        occurred_at=occurred_at,
        recipient=status.get("recipient_id"),
        callback_data=status.get("biz_opaque_callback_data"),
        error_code=errors[0]["code"] if errors else None,
        errors=errors,
    )


if __name__ == "__main__":
    Model.metadata.create_all(engine)
