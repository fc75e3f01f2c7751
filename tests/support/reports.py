"""Failed and accepted calls that a sender reports, stored as `POST /v1/sends` stores them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine

from tests.support.factories import NUMBER
from webhook_app.pipeline.sends.reports import register
from webhook_app.web.api.sends.send_items import parse_send
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport


def report_failed_calls(
    engine: Engine,
    calls: int,
    at: datetime,
    code: int,
    *,
    number: str = NUMBER,
    template: str = "",
    key: str = "rival",
    campaign: str = "",
    message_id: str = "",
    contact: str = "",
) -> None:
    """Report so many failed calls to invented contacts, one a second from `at` on, each when it failed.

    `message_id`, `contact`: of all of them; else each has its own.
    """
    found = [
        failed_call(
            at + timedelta(seconds=place),
            code,
            message_id=message_id or f"send:{key}.{number}.{code}.{campaign}{at.timestamp():.0f}.{place}",
            number=number,
            contact=contact or f"1404555{place:04}",
            template=template,
            campaign=campaign,
        )
        for place in range(calls)
    ]
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, found, at, reported_by=key)


def failed_call(
    at: datetime,
    code: int,
    *,
    message_id: str = "wamid.invented",
    number: str = NUMBER,
    contact: str = "14045550000",
    template: str = "",
    campaign: str = "",
) -> SendReport:
    """The report of one failed call."""
    return SendReport(
        message_id=message_id,
        phone_number_id=number,
        contact=contact,
        template=template,
        campaign=campaign,
        category="",
        sent_at=at,
        error=read_graph_error({"code": code, "message": "no"}),
        endpoint="",
        request_json="",
    )


def report_accepted(engine: Engine, number: str, at: datetime, *, key: str = "shop") -> None:
    """Report 40 calls that Meta accepted at this time."""
    sends = accepted_calls(number, at, contacts=[f"1202555{place:04}" for place in range(40)])
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, sends, at, reported_by=key)


def accepted_calls(number: str, at: datetime, *, contacts: Sequence[str]) -> list[SendReport]:
    """The reports of calls to these contacts that Meta accepted at this time."""
    items = [
        {
            "contact": contact,
            "message_id": f"wamid.{number}.{contact}",
            "phone_number_id": number,
            "sent_at": at.isoformat(),
        }
        for contact in contacts
    ]
    return [found for found, _ in (parse_send(item, at) for item in items) if found is not None]
