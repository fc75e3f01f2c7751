"""A key's name is its identity in reports, caps and the audit log: no two keys have the same."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from webhook_app.store.operations import api_keys
from webhook_app.store.operations.api_keys import KeyNameError
from webhook_app.store.suppressions.changes import PERSON, SYSTEM


def create(engine, name, now):
    with engine.begin() as connection:
        return api_keys.create(connection, name, "sender", now)


def names(engine):
    with engine.connect() as connection:
        return [key.name for key in api_keys.list_keys(connection)]


def test_a_name_that_a_key_has_or_had_is_refused(engine, now):
    first = create(engine, "shop", now).key
    with pytest.raises(KeyNameError, match="There is a key named shop already"):
        create(engine, " shop ", now)
    with engine.begin() as connection:
        api_keys.revoke(connection, first.id, now)
    with pytest.raises(KeyNameError, match="There was a key named shop already"):
        create(engine, "shop", now)
    create(engine, "shop 2", now)
    assert names(engine) == ["shop", "shop 2"]


@pytest.mark.parametrize(
    "name", ["ADMIN_API_KEY", SYSTEM, PERSON, "command line", "System", "", "  ", "x" * 101]
)
def test_the_names_of_the_operator_the_rules_and_the_contact_and_long_ones_are_refused(engine, now, name):
    with pytest.raises(KeyNameError):
        create(engine, name, now)
    assert names(engine) == []


def test_of_two_keys_that_are_made_at_once_with_one_name_one_is_refused(engine, now):
    with engine.begin() as connection, ThreadPoolExecutor(1) as other:
        api_keys.create(connection, "shop", "sender", now)
        second = other.submit(create, engine, "shop", now)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.2)
        connection.commit()
        with pytest.raises(KeyNameError):
            second.result(timeout=30)
    assert names(engine) == ["shop"]


def test_keys_that_were_made_with_one_name_before_go_on_working(engine, now):
    secrets = [create(engine, name, now).secret for name in ("shop", "shop 2")]
    with engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET name = 'shop'"))
        assert [api_keys.find(connection, secret).name for secret in secrets] == ["shop", "shop"]
    with pytest.raises(KeyNameError):
        create(engine, "shop", now)


def test_a_rotated_key_keeps_its_name_and_role_and_both_secrets_work_until_one_is_revoked(engine, now):
    first = create(engine, "shop", now)
    with engine.begin() as connection:
        second = api_keys.rotate(connection, first.key.id, now)
        assert second
        assert second.secret != first.secret
        found = [api_keys.find(connection, each.secret) for each in (first, second)]
        assert [(each.name, each.role) for each in found if each] == [("shop", "sender")] * 2
        assert api_keys.revoke(connection, first.key.id, now)
        assert api_keys.find(connection, first.secret) is None
        assert api_keys.rotate(connection, first.key.id, now) is None
        assert api_keys.find(connection, second.secret)
