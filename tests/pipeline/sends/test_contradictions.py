"""A report about somebody else than the person whom Meta names describes nothing of the message."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.pipeline.sends.test_merge import ERROR, register, reported, rows
from tests.support.factories import body, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends.reports import follow_up
from webhook_app.whatsapp.sends.graph_errors import read_graph_error

PERSON, STRANGER, PERSON_ID, STRANGER_ID = "12025550117", "12025550199", "US.111", "US.999"
NAMED = {"template": "made up", "campaign": "made up", "category": "marketing"}
DESCRIBED = """
SELECT DISTINCT template, campaign, coalesce(category, '') FROM status_events JOIN series s ON s.id = series_id
UNION SELECT template, campaign, e.category FROM messages m JOIN series s ON s.id = m.series_id
JOIN status_events e ON e.message_id = m.message_id
"""
PLAIN, MADE_UP = [("", "", "")], [("made up", "made up", "marketing")]


def store(writer: BatchWriter, now: datetime, *, user_id: str = "", recipient: str = PERSON) -> None:
    more = {"recipient_user_id": user_id} if user_id else {}
    writer.store([Delivery(body(status("wamid.A", "sent", now, recipient=recipient, **more)))], now)


def describe(engine: Engine, now: datetime, contact: str) -> None:
    register(engine, reported("wamid.A", now, contact=contact, **NAMED), now=now)
    follow_up(engine, now + timedelta(minutes=2))


@pytest.mark.parametrize("webhook_first", [True, False])
@pytest.mark.parametrize(("contact", "described"), [(STRANGER, PLAIN), (PERSON, MADE_UP), ("", MADE_UP)])
def test_a_report_about_another_person_names_nothing_whichever_comes_first(
    writer: BatchWriter,
    engine: Engine,
    now: datetime,
    webhook_first: bool,
    contact: str,
    described: list[str],
) -> None:
    if webhook_first:
        store(writer, now)
    describe(engine, now, contact)
    if not webhook_first:
        store(writer, now)
    assert rows(engine, DESCRIBED) == described


@pytest.mark.parametrize("webhook_first", [True, False])
@pytest.mark.parametrize(
    ("contact", "described"), [(PERSON_ID, MADE_UP), (PERSON, MADE_UP), (STRANGER_ID, PLAIN)]
)
def test_every_key_of_the_person_whom_meta_names_is_the_person(
    writer: BatchWriter,
    engine: Engine,
    now: datetime,
    webhook_first: bool,
    contact: str,
    described: list[str],
) -> None:
    if webhook_first:
        store(writer, now, user_id=PERSON_ID)
    describe(engine, now, contact)
    if not webhook_first:
        store(writer, now, user_id=PERSON_ID)
    assert rows(engine, DESCRIBED) == described


def test_a_number_is_no_contradiction_to_a_user_id_whose_number_is_not_known(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    store(writer, now, recipient="", user_id=PERSON_ID)
    describe(engine, now, PERSON)
    assert rows(engine, DESCRIBED) == MADE_UP


def test_a_failed_call_about_another_person_counts_without_its_names(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    store(writer, now)
    call = reported("wamid.A", now, contact=STRANGER, error=read_graph_error(ERROR), **NAMED)
    register(engine, call, now=now)
    assert rows(engine, DESCRIBED) == PLAIN
    assert rows(engine, "SELECT contact, source FROM failures") == [(STRANGER, "send")]
