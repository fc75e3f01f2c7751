"""A local copy of the suppressions gives the service's answers, or `ask` where it cannot know them."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.factories import body, status
from webhook_app.client import LocalCopy
from webhook_app.client import client as client_module
from webhook_app.pipeline.people.erase import erase
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import connect
from webhook_app.store.suppressions import suppressions

NUMBER = "590238114470021"


@pytest.fixture
def put(engine, now):
    def add(contact, *, scope="all", number="", until=None):
        with engine.begin() as connection:
            suppressions.put(
                connection,
                contact,
                phone_number_id=number,
                scope=scope,
                until=until,
                seen_as=contact,
                actor="ann",
                note="",
                now=now,
            )

    return add


def verdicts(copy, contacts, now, **asked):
    return [answer.verdict for answer in copy.check(contacts, now=now, **asked)]


def test_a_copy_answers_as_the_service_does(sender, put, now, monkeypatch):
    monkeypatch.setattr(client_module, "_PAGE", 2)
    put("12025550117")
    put("12025550118", scope="marketing")
    put("5511987654321", number=NUMBER)
    put("12025550119", until=now + timedelta(days=2))
    copy = LocalCopy()
    assert copy.sync(sender, now) == 4
    asked = ["+12025550117", "+12025550118", "+55 11 8765-4321", "0012025550119", "+12025550120", "nobody"]
    for number in (None, NUMBER, "another"):
        for category in (None, "marketing", "utility", "authentication"):
            local = verdicts(copy, asked, now, phone_number_id=number, category=category)
            remote = sender.check(asked, phone_number_id=number, category=category)
            assert local == [answer.verdict for answer in remote], (number, category)


class Watched(dict):
    """A mapping that a check could read after every change of it: it remembers the fewest keys that it had."""

    def __init__(self, held):
        super().__init__(held)
        self.fewest = len(self)

    def pop(self, *args):
        found = super().pop(*args)
        self.fewest = min(self.fewest, len(self))
        return found


def test_a_check_during_a_sync_never_misses_somebody_whose_suppression_changes(
    sender, put, engine, writer, now
):
    shown = status("wamid.1", "sent", now, recipient="12025550117", recipient_user_id="US.1")
    writer.store([Delivery(body(shown))], now)
    put("12025550117")
    copy = LocalCopy()
    copy.sync(sender, now)
    copy._suppressions, copy._contacts_by_alias = held = (
        Watched(copy._suppressions),
        Watched(copy._contacts_by_alias),
    )
    assert all(held), "the person and the alias are known"
    put("12025550117", until=now + timedelta(days=2))
    put("12025550117", scope="marketing")
    assert copy.sync(sender, now) == 2
    assert [each.fewest for each in held] == [1, 1]
    assert verdicts(copy, ["12025550117", "US.1"], now) == ["suppressed"] * 2


def test_a_sync_applies_only_the_changes_since_the_last_one(sender, put, engine, now):
    put("12025550117")
    put("12025550118")
    copy = LocalCopy()
    copy.sync(sender, now)
    with engine.begin() as connection:
        suppressions.lift(connection, "12025550117", None, None, None, actor="ann", note="", now=now)
    put("12025550120")
    assert verdicts(copy, ["+12025550117", "+12025550120"], now) == ["suppressed", "send"]
    assert copy.sync(sender, now) == 2
    assert verdicts(copy, ["+12025550117", "+12025550120"], now) == ["send", "suppressed"]
    assert copy.sync(sender, now) == 0


def test_a_person_is_found_under_every_key_they_were_known_by(sender, put, engine, now, tmp_path):
    phone, user_id, parent, free = "12025550117", "US.4123987650", "US.ENT.77001122", "US.9900112233"
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO contact_links (user_id, contact) VALUES (:u, :p), (:parent, :u)"),
            {"u": user_id, "p": phone, "parent": parent},
        )
    put(phone)
    copy = LocalCopy()
    copy.sync(sender, now)
    asked = ["+" + phone, user_id, parent, free]
    assert verdicts(copy, asked, now) == ["suppressed", "suppressed", "suppressed", "send"]
    assert verdicts(copy, asked, now) == [answer.verdict for answer in sender.check(asked)]
    copy.save(tmp_path / "copy.json")
    loaded = LocalCopy()
    loaded.load(tmp_path / "copy.json")
    assert verdicts(loaded, asked, now) == verdicts(copy, asked, now)
    with engine.begin() as connection:
        suppressions.lift(connection, phone, None, None, None, actor="ann", note="", now=now)
    loaded.sync(sender, now)
    assert verdicts(loaded, asked, now) == ["send"] * 4


@pytest.mark.parametrize("kind", [Path, str])
def test_a_saved_copy_answers_after_a_restart_without_the_service(sender, put, now, tmp_path, kind):
    path = kind(tmp_path / "copy.json")
    put("12025550117")
    first = LocalCopy()
    first.sync(sender, now)
    first.save(path)
    second = LocalCopy()
    assert second.load(path)
    assert second.seq == first.seq
    assert verdicts(second, ["+12025550117", "+12025550118"], now) == ["suppressed", "send"]


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"seq": "x"}'])
def test_loading_a_missing_or_damaged_file_leaves_the_copy_empty(tmp_path, content):
    path = tmp_path / "copy.json"
    if content is not None:
        path.write_bytes(content)
    copy = LocalCopy()
    assert not copy.load(path)
    assert copy.seq == 0


def test_a_copy_that_is_too_old_or_was_never_synced_answers_ask(sender, now):
    copy = LocalCopy(good_for=timedelta(minutes=10))
    assert verdicts(copy, ["+12025550117", "nobody"], now) == ["ask", "invalid"]
    copy.sync(sender, now)
    assert verdicts(copy, ["+12025550117"], now + timedelta(minutes=10)) == ["send"]
    assert verdicts(copy, ["+12025550117"], now + timedelta(minutes=11)) == ["ask"]


def test_an_expired_suppression_allows_sending_unless_it_ends_with_a_probe(sender, put, engine, now):
    put("12025550117", until=now + timedelta(hours=1))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO suppression_changes (seq, at, action, contact, phone_number_id, scope, reason, until)"
            " SELECT max(seq) + 1, now(), 'suppress', '12025550118', '', 'all', 'unreachable',"
            " now() + interval '1 hour' FROM suppression_changes"
        )
    copy = LocalCopy(good_for=timedelta(days=1))
    copy.sync(sender, now)
    asked = ["+12025550117", "+12025550118"]
    assert verdicts(copy, asked, now) == ["suppressed", "suppressed"]
    assert verdicts(copy, asked, now + timedelta(hours=2)) == ["send", "ask"]


def test_a_reply_after_a_typed_stop_is_answered_ask_because_only_the_service_knows_the_window(
    sender, engine, now
):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO suppression_changes (seq, at, action, contact, phone_number_id, scope, reason)"
            " SELECT coalesce(max(seq), 0) + 1, now(), 'suppress', '12025550117', '', 'all', 'opted_out'"
            " FROM suppression_changes"
        )
    copy = LocalCopy()
    copy.sync(sender, now)
    found = [
        verdicts(copy, ["+12025550117"], now, category=each)[0]
        for each in ("marketing", "utility", "authentication")
    ]
    assert found == ["suppressed", "ask", "send"]
    strict = LocalCopy(stop_blocks_all=True)
    strict.sync(sender, now)
    assert verdicts(strict, ["+12025550117"], now, category="authentication") == ["suppressed"]


def test_only_its_owner_can_read_a_saved_copy_and_no_link_is_followed(tmp_path):
    path, target = tmp_path / "copy.json", tmp_path / "another file"
    target.write_text("its text")
    (tmp_path / "copy.json.new").symlink_to(target)
    path.touch(0o644)
    LocalCopy().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.is_symlink()
    assert target.read_text() == "its text"
    assert LocalCopy().load(path)


def test_a_save_that_was_interrupted_does_not_prevent_the_next_one(tmp_path):
    (tmp_path / "copy.json.new").write_text("half a co")
    LocalCopy().save(tmp_path / "copy.json")
    assert LocalCopy().load(tmp_path / "copy.json")
    assert [each.name for each in tmp_path.iterdir()] == ["copy.json"]


def test_after_an_erasure_the_copy_is_fetched_again_without_the_person(
    sender, put, engine, database_url, now, tmp_path
):
    put("12025550117")
    put("12025550118")
    copy = LocalCopy()
    copy.sync(sender, now)
    erase(engine, lambda: connect(database_url, application="tests"), "12025550117", actor="ann", now=now)
    copy.sync(sender, now)
    copy.save(tmp_path / "copy")
    assert "12025550117" not in (tmp_path / "copy").read_text()
    assert verdicts(copy, ["+12025550117", "+12025550118"], now) == ["send", "suppressed"]
    put("12025550119")
    assert copy.sync(sender, now) == 1


def test_while_the_list_cannot_be_fetched_again_nobody_in_it_may_be_written_to(
    sender, put, engine, database_url, now, tmp_path, monkeypatch
):
    put("12025550117")
    put("12025550118")
    copy = LocalCopy()
    copy.sync(sender, now)
    erase(engine, lambda: connect(database_url, application="tests"), "12025550117", actor="ann", now=now)
    changes = sender.changes

    def only_new(after):
        if after == 0:
            raise ConnectionError
        return changes(after)

    monkeypatch.setattr(sender, "changes", only_new)
    with pytest.raises(ConnectionError):
        copy.sync(sender, now)
    copy.save(tmp_path / "copy")
    loaded = LocalCopy()
    loaded.load(tmp_path / "copy")
    for each in (copy, loaded):
        assert verdicts(each, ["+12025550118"], now) == ["suppressed"]
    monkeypatch.undo()
    for each in (copy, loaded):
        each.sync(sender, now)
        assert verdicts(each, ["+12025550117", "+12025550118"], now) == ["send", "suppressed"]
