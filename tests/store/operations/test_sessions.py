"""A session is found by its token until it ends, expires, or its key is revoked; the secret is made once."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from webhook_app.store.operations import api_keys, sessions

TOKEN = "a random token"


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


@pytest.fixture
def key(connection, now):
    return api_keys.create(connection, "on call", "viewer", now).key


def test_a_session_is_found_with_its_key_and_the_secret(connection, key, now):
    secret = sessions.secret(connection, now)
    sessions.add(connection, TOKEN, key.id, now)
    found = sessions.find(connection, TOKEN, now)
    assert (found.key, found.secret) == (key, secret)
    assert sessions.find(connection, "another token", now) is None


def test_it_expires(connection, key, now):
    sessions.secret(connection, now)
    sessions.add(connection, TOKEN, key.id, now)
    assert sessions.find(connection, TOKEN, now + sessions.LIFETIME - timedelta(seconds=1))
    assert sessions.find(connection, TOKEN, now + sessions.LIFETIME) is None


def test_a_revoked_key_has_no_sessions(connection, key, now):
    sessions.secret(connection, now)
    sessions.add(connection, TOKEN, key.id, now)
    api_keys.revoke(connection, key.id, now)
    assert sessions.find(connection, TOKEN, now) is None
    assert sessions.count(connection, now) == 0


def test_one_session_ends_and_the_others_stay(connection, key, now):
    sessions.secret(connection, now)
    for token in (TOKEN, "second"):
        sessions.add(connection, token, key.id, now)
    sessions.end(connection, TOKEN)
    assert sessions.find(connection, TOKEN, now) is None
    assert sessions.count(connection, now) == 1


def test_all_end_at_once(connection, key, now):
    for token in (TOKEN, "second"):
        sessions.add(connection, token, key.id, now)
    assert sessions.end_all(connection) == 2
    assert sessions.count(connection, now) == 0


def test_the_secret_is_made_once_and_changes_only_when_rotated(connection, key, now):
    secret = sessions.secret(connection, now)
    assert len(secret) == 32
    assert sessions.secret(connection, now) == secret
    sessions.add(connection, TOKEN, key.id, now)
    assert sessions.rotate(connection, now) == 1
    assert sessions.secret(connection, now) != secret
    assert sessions.find(connection, TOKEN, now) is None


def test_a_session_of_the_operator_is_bound_to_the_admin_key(connection, now):
    sessions.secret(connection, now)
    sessions.add(connection, TOKEN, api_keys.OPERATOR.id, now, admin_api_key="the admin key")
    assert sessions.find(connection, TOKEN, now, admin_api_key="the admin key").key == api_keys.OPERATOR
    for other in ("another admin key", ""):
        assert sessions.find(connection, TOKEN, now, admin_api_key=other) is None


def test_a_row_does_not_help_to_guess_the_admin_key(connection, now):
    """The proof depends on the token, which is random and not stored."""
    for token in (TOKEN, "second"):
        sessions.add(connection, token, api_keys.OPERATOR.id, now, admin_api_key="the admin key")
    proofs = connection.execute(text("SELECT operator_proof FROM sessions")).scalars().all()
    assert len(set(proofs)) == 2
