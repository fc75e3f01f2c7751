"""The first key whose report of a message is stored describes it, however early another request began."""

import json
from datetime import timedelta
from io import BytesIO

from sqlalchemy import text

from tests.support.factories import NUMBER, body, status
from webhook_app.store.operations import api_keys

CONTACT = "+12025550117"


class SlowBody(BytesIO):
    """A request body that is read only after `before` has run."""

    def __init__(self, content, before):
        super().__init__(content)
        self._before = before

    def read(self, *size):
        self._hurry()
        return super().read(*size)

    def readinto(self, buffer):
        self._hurry()
        return super().readinto(buffer)

    def _hurry(self):
        before, self._before = self._before, lambda: None
        before()


def send(template):
    return {
        "contact": CONTACT,
        "phone_number_id": NUMBER,
        "message_id": "wamid.A",
        "template": template,
    }


def described(engine):
    with engine.connect() as connection:
        names = "SELECT template FROM messages m JOIN series s ON s.id = m.series_id"
        return connection.execute(text(names)).scalars().all()


def make_key(api, engine, now, name):
    with engine.begin() as connection:
        api.keys[name] = api_keys.create(connection, name, "sender", now).secret


def test_a_report_whose_body_arrives_late_is_registered_late(api, app, deliver, engine, now):
    make_key(api, engine, now, "rival")

    def report_of_the_shop():
        assert api.post("/v1/sends", json={"sends": [send("order")]}, role="sender").status_code == 200

    late = json.dumps({"sends": [send("made up") | {"phone_number_id": ""}]}).encode()
    answer = app.test_client().post(
        "/v1/sends",
        input_stream=SlowBody(late, report_of_the_shop),
        content_length=len(late),
        headers={"Authorization": f"Bearer {api.keys['rival']}"},
    )
    assert answer.json["summary"]["stored"] == 1
    with engine.connect() as connection:
        stored = "SELECT reported_by FROM sends ORDER BY registered_at"
        assert connection.execute(text(stored)).scalars().all() == ["sender", "rival"]
    deliver(body(status("wamid.A", "sent", now)))
    assert described(engine) == ["order"]


def test_a_key_whose_report_comes_after_that_of_another_key_is_told_so(api, engine, now):
    make_key(api, engine, now, "rival")
    api.post("/v1/sends", json={"sends": [send("made up")]}, role="rival")
    late, again = (
        api.post("/v1/sends", json={"sends": [send("order")]}, role=role).json["results"][0]
        for role in ("sender", "rival")
    )
    assert late["result"] == again["result"] == "duplicate"
    assert late["reason"].startswith("message_id: another key reported this message before")
    assert again["reason"] is None


def test_a_key_that_finds_a_message_of_another_key_never_becomes_the_first(api, deliver, engine, now):
    make_key(api, engine, now, "rival")
    api.post("/v1/sends", json={"sends": [send("order")]}, role="sender")
    with engine.begin() as connection:  # the clock of the host that stored it is ahead
        connection.execute(
            text("UPDATE sends SET registered_at = registered_at + :ahead"), {"ahead": timedelta(minutes=2)}
        )
    api.post("/v1/sends", json={"sends": [send("made up") | {"phone_number_id": ""}]}, role="rival")
    deliver(body(status("wamid.A", "sent", now)))
    assert described(engine) == ["order"]
