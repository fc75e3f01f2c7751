"""Webhooks of people whose messages fail or arrive, runs of suppress, and the suppressions made, at a fixed time."""

import itertools
import json
from datetime import timedelta

from msgspec.structs import replace
from sqlalchemy import text

from tests.support.factories import NUMBER, body, document, message, status, value
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.postgres.engine import connect
from webhook_app.store.suppressions import lists, suppressions

CONTACT, USER = "12025550117", "US.7041abc"
UNREACHABLE, EXPERIMENT, WITHHELD, STOPPED, BLOCKED = 131026, 130472, 131049, 131050, 130403
RULE = Rule(name="failure-rate", threshold=0.02, resolve_below=0.015)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class World:
    """Sends webhooks as Meta does, runs suppress, and reads the result."""

    def __init__(self, engine, database_url, now):
        self.engine = engine
        self.now = now
        self.rules = (RULE,)
        self.thresholds = Thresholds()
        self._writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
        self.ids = itertools.count()

    def close(self):
        self._writer.close()

    def store(self, *bodies):
        self._writer.store([Delivery(each) for each in bodies], self.now)

    def fail(self, *ages, code=UNREACHABLE, contact=CONTACT, number=NUMBER, campaign="", **more):
        self.store(*(self.failure(age, code, contact, number, campaign, **more) for age in ages))

    def failure(
        self, age, code=UNREACHABLE, contact=CONTACT, number=NUMBER, campaign="", message_id="", **more
    ):
        more |= {"biz_opaque_callback_data": json.dumps({"campaign": campaign})} if campaign else {}
        message_id = message_id or f"wamid.{next(self.ids)}"
        return body(
            status(message_id, "failed", self.now - age, recipient=contact, code=code, **more), number=number
        )

    def deliver(self, age, what="delivered", contact=CONTACT, message_id="", number=NUMBER, **more):
        message_id = message_id or f"wamid.{next(self.ids)}"
        self.store(body(status(message_id, what, self.now - age, recipient=contact, **more), number=number))

    def write(self, age, text="hi", contact=CONTACT, number=NUMBER):
        item = message(f"wamid.{next(self.ids)}", self.now - age, sender=contact, text=text)
        self.store(body(messages=[item], number=number))

    def prefer(self, age, preference, contact=CONTACT, number=NUMBER):
        self.store(self.preference(age, preference, contact, number))

    def preference(self, age, preference, contact=CONTACT, number=NUMBER):
        stamp = int((self.now - age).timestamp())
        stated = {"wa_id": contact, "category": "marketing_messages", "value": preference, "timestamp": stamp}
        held = value(number=number, user_preferences=[stated])
        return json.dumps(document(held, field="user_preferences")).encode()

    def alert(self, started, ended=None, state=None, group=None, rule=RULE.name):
        """Insert an alert with its incident; return the incident's id, or that of a pending alert."""
        group = group or {"code": UNREACHABLE, "phone_number_id": NUMBER}
        start, end = self.now - started, None if ended is None else self.now - ended
        alert = alerts.Alert(
            rule=rule,
            kind="rate",
            severity="warning",
            state=state or ("firing" if ended is None else "resolved"),
            group=group,
            codes=[group["code"]],
            covers_from=start,
            started_at=start,
            fired_at=start if state != "pending" else None,
            resolved_at=end,
            evaluated_at=self.now,
        )
        incident = incidents.Incident(
            kind="rate",
            title="An incident",
            state="open" if ended is None else "ended",
            severity="warning",
            domain="recipient",
            codes=[group["code"]],
            names={"phone_number_id": [group["phone_number_id"]]},
            began_at=start,
            opened_at=start,
            ended_at=end,
            evaluated_at=self.now,
        )
        with self.engine.begin() as connection:
            if state == "pending":
                return alerts.insert_new(connection, alert)
            incident_id = incidents.insert(connection, incident)
            alerts.insert_new(connection, replace(alert, incident_id=incident_id))
            return incident_id

    def end_incident(self, incident_id, age=timedelta(0)):
        with self.engine.begin() as connection:
            values = {"now": self.now - age, "id": incident_id}
            connection.execute(
                text("UPDATE alerts SET state = 'resolved', resolved_at = :now WHERE incident_id = :id"),
                values,
            )
            connection.execute(
                text("UPDATE incidents SET state = 'ended', ended_at = :now WHERE id = :id"), values
            )

    def run(self, after=timedelta(0), **more):
        return suppress(self.engine, self.rules, self.thresholds, self.now + after, **more)

    def rows(self, *contacts):
        with self.engine.connect() as connection:
            return suppressions.of_contacts(connection, contacts or (CONTACT,))

    def all(self):
        with self.engine.connect() as connection:
            return lists.list_page(connection, 10_000)

    def changes(self):
        with self.engine.connect() as connection:
            return suppressions.changes_since(connection, 0, 10_000)

    def count(self, where, **values):
        with self.engine.connect() as connection:
            return connection.execute(
                text(f"SELECT count(*) FROM failures WHERE {where}"), values
            ).scalar_one()


CROWD = [f"1303555{i:04}" for i in range(500)]


def scattered_failures(world, contacts, *days):
    """A failure for each of them on each of these days, spread so that no hour looks bad by itself."""
    return [
        each
        for day in days
        for place, contact in enumerate(contacts)
        for each in (
            world.failure(day * DAY + place * 10 * MINUTE, contact=contact),
            *others_sent(world, 1, day * DAY + place * 10 * MINUTE),
        )
    ]


def others_sent(world, count, age):
    """Messages to other people that are sent at that time."""
    return [
        body(status(f"wamid.{next(world.ids)}", "sent", world.now - age, recipient="12025559999"))
        for _ in range(count)
    ]


def outage(world, contacts=CROWD, age=MINUTE):
    """All of these fail within a minute, some of them for the third day."""
    world.store(*scattered_failures(world, contacts[::5], 2, 1))
    world.store(*(world.failure(age, contact=contact) for contact in contacts))
