"""Guessing keys is slowed down by address and by key, for all processes together; right API keys cost nothing more."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from secrets import token_urlsafe

import pytest
from sqlalchemy import event, text

from tests.web.conftest import ADMIN_KEY, sign_in, token_of
from webhook_app.store.operations import api_keys, wrong_keys
from webhook_app.web.auth import Keyring
from webhook_app.web.errors import ApiError
from webhook_app.web.throttle import (
    API_LIMIT,
    KEY_LIMIT,
    MAX_CALLERS,
    SIGN_IN_LIMIT,
    AttemptCounts,
    SignInThrottle,
    Throttle,
    caller_address,
    key_caller,
)

PROXY = {"trusted_proxies": (ip_network("127.0.0.0/8"),)}


def try_key(client, key, address):
    """The answer to signing in from this address, as a proxy on loopback forwards it."""
    form = {"token": token_of(client.get("/login")), "key": key}
    return client.post("/login", data=form, headers={"X-Forwarded-For": address})


def call(client, key, address="198.51.100.1"):
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": address}
    return client.get("/v1/books", headers=headers)


class TestSignIn:
    def test_after_some_wrong_keys_even_the_right_one_has_to_wait(self, client):
        for number in range(SIGN_IN_LIMIT):
            assert sign_in(client, f"guess {number}").status_code == 401
        response = sign_in(client, ADMIN_KEY)
        assert response.status_code == 429
        assert 0 < int(response.headers["Retry-After"]) <= 61

    def test_workers_and_hosts_count_together(self, make_app):
        workers = [make_app().test_client() for _ in range(2)]
        for number in range(SIGN_IN_LIMIT):
            assert sign_in(workers[number % 2], f"guess {number}").status_code == 401
        assert [sign_in(worker, ADMIN_KEY).status_code for worker in workers] == [429, 429]

    def test_right_keys_are_not_counted(self, app, keys):
        for _ in range(SIGN_IN_LIMIT + 2):
            assert sign_in(app.test_client(), keys["viewer"]).status_code == 303

    def test_an_address_that_the_client_writes_itself_does_not_count(self, client):
        for number in range(SIGN_IN_LIMIT):
            assert try_key(client, f"guess {number}", f"203.0.113.{number}").status_code == 401
        assert try_key(client, ADMIN_KEY, "203.0.113.99").status_code == 429

    def test_behind_a_trusted_proxy_each_client_is_counted_apart(self, make_app):
        client = make_app(**PROXY).test_client()
        for number in range(SIGN_IN_LIMIT):
            assert try_key(client, f"guess {number}", "203.0.113.7").status_code == 401
        assert try_key(client, "guess", "203.0.113.7").status_code == 429
        assert try_key(client, ADMIN_KEY, "203.0.113.8").status_code == 303

    def test_one_key_cannot_be_guessed_from_many_addresses(self, make_app, engine, keys):
        client = make_app(**PROXY).test_client()
        self.guess_from_elsewhere(engine, ADMIN_KEY)
        assert try_key(client, ADMIN_KEY[:9] + "guess", "198.51.100.1").status_code == 401
        assert try_key(client, ADMIN_KEY[:9] + "guess", "198.51.100.2").status_code == 429
        assert try_key(client, ADMIN_KEY, "198.51.100.3").status_code == 429
        assert try_key(client, keys["admin"], "198.51.100.3").status_code == 303

    def test_a_stranger_who_knows_how_a_key_begins_does_not_lock_its_owner_out(self, make_app, engine, keys):
        client = make_app(**PROXY).test_client()
        self.guess_from_elsewhere(engine, keys["viewer"], KEY_LIMIT + 5)
        wrong = keys["viewer"][:-1] + ("a" if keys["viewer"][-1] != "a" else "b")
        assert try_key(client, wrong, "198.51.100.1").status_code == 429
        assert try_key(client, keys["viewer"], "198.51.100.2").status_code == 303

    def test_two_addresses_lock_nobody_out(self, make_app):
        client = make_app(**PROXY).test_client()
        for number in range(2 * SIGN_IN_LIMIT):
            guess = f"{ADMIN_KEY[:9]}{number}"
            assert try_key(client, guess, f"203.0.113.{number % 2}").status_code == 401
        assert try_key(client, ADMIN_KEY, "198.51.100.1").status_code == 303

    def guess_from_elsewhere(self, engine, key, count=KEY_LIMIT - 1):
        """Count so many guesses that begin like this key."""
        throttle, now = SignInThrottle(), datetime.now(UTC)
        for _ in range(count):
            throttle.reserve(engine, key_caller(key), KEY_LIMIT, now)

    def test_an_address_over_its_limit_adds_no_rows(self, client, engine):
        for number in range(SIGN_IN_LIMIT + 10):
            sign_in(client, f"{number:09} guess")
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM wrong_keys").scalar_one()
        assert rows == 1 + SIGN_IN_LIMIT, "its address, and the start of each key within the limit"


class TestFullTable:
    """So many addresses guess that the shared table has no room for more."""

    @pytest.fixture(autouse=True)
    def full(self, engine, now):
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO wrong_keys (caller, until, attempts)"
                    " SELECT int4send(n), :until, 1 FROM generate_series(1, :rows) n"
                ),
                {"until": datetime.now(UTC) + timedelta(seconds=50), "rows": wrong_keys.MAX_ROWS},
            )

    def test_the_process_counts_the_sign_in_attempts_of_an_address(self, client):
        answers = [sign_in(client, f"{number:09} guess").status_code for number in range(SIGN_IN_LIMIT + 2)]
        assert answers == [401] * SIGN_IN_LIMIT + [429] * 2
        assert sign_in(client, ADMIN_KEY).status_code == 429

    def test_right_keys_are_not_counted(self, app, keys):
        for _ in range(SIGN_IN_LIMIT + 2):
            assert sign_in(app.test_client(), keys["viewer"]).status_code == 303

    def test_the_process_counts_the_attempts_for_the_start_of_a_key(self, engine):
        throttle, now = SignInThrottle(), datetime.now(UTC)
        waits = [throttle.reserve(engine, b"key", KEY_LIMIT, now) for _ in range(KEY_LIMIT + 1)]
        assert [bool(wait) for wait in waits] == [False] * KEY_LIMIT + [True]

    def test_the_limit_ends_with_its_minute_and_the_table_has_room_again(self, engine):
        throttle, now = SignInThrottle(), datetime.now(UTC)
        assert not throttle.reserve(engine, b"address", 1, now)
        assert throttle.reserve(engine, b"address", 1, now) == timedelta(minutes=1)
        later = now + timedelta(minutes=1)
        assert not throttle.reserve(engine, b"address", 1, later)
        assert not throttle.reserve(engine, b"key", KEY_LIMIT, later)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT caller FROM wrong_keys").scalars()
            assert sorted(map(bytes, rows)) == [b"address", b"key"]

    def test_the_process_counts_wrong_keys_at_the_api(self, client):
        answers = [call(client, f"guess {number}").status_code for number in range(API_LIMIT + 1)]
        assert answers == [401] * API_LIMIT + [429]


def test_a_process_that_counts_too_many_callers_forgets_those_with_few_attempts_first(now):
    counts = AttemptCounts()
    for _ in range(5):
        counts.add(b"guesser", now)
    for number in range(2 * MAX_CALLERS):
        counts.add(b"%d" % number, now)
    assert counts.get(b"guesser", now).count == 5
    assert len(counts) <= MAX_CALLERS


class TestApi:
    @pytest.fixture
    def behind_proxy(self, make_app):
        return make_app(**PROXY).test_client()

    @pytest.fixture
    def guessed(self, behind_proxy):
        """A client whose address has used up its wrong keys."""
        for number in range(API_LIMIT):
            assert call(behind_proxy, f"guess {number}").status_code == 401
        return behind_proxy

    def test_too_many_wrong_keys_are_answered_429(self, guessed):
        response = call(guessed, "guess")
        assert response.status_code == 429
        assert response.json["error"]["code"] == "too_many_wrong_keys"
        assert 0 < int(response.headers["Retry-After"]) <= 61

    def test_the_admin_key_cannot_be_guessed_on(self, guessed):
        assert call(guessed, ADMIN_KEY).status_code == 429
        assert call(guessed, ADMIN_KEY, address="203.0.113.8").status_code == 200

    def test_random_keys_still_work(self, guessed, keys):
        """They cannot be guessed: a sender with a wrong key must not stop the others behind the same address."""
        assert call(guessed, keys["viewer"]).status_code == 200

    def test_workers_and_hosts_count_together(self, guessed, make_app):
        other = make_app(**PROXY).test_client()
        assert call(other, "guess").status_code == 429
        assert call(other, ADMIN_KEY).status_code == 429

    def test_a_check_answers_429_too(self, guessed):
        headers = {"Authorization": "Bearer guess", "X-Forwarded-For": "198.51.100.1"}
        response = guessed.get("/v1/check/12025550117", headers=headers)
        assert (response.status_code, "Retry-After" in response.headers) == (429, True)

    def test_a_request_without_a_key_is_not_counted(self, behind_proxy):
        for _ in range(API_LIMIT + 1):
            assert behind_proxy.get("/v1/books").status_code == 401


class TestCost:
    @pytest.fixture
    def statements(self, engine):
        """Every statement that is sent to the database."""
        sent = []
        listener = lambda *arguments: sent.append(arguments[2])  # noqa: E731
        event.listen(engine, "before_cursor_execute", listener)
        yield sent
        event.remove(engine, "before_cursor_execute", listener)

    def test_right_keys_ask_the_database_no_more_than_without_a_throttle(self, engine, keys, now, statements):
        keyring = Keyring(engine, ADMIN_KEY)
        keyring.require("admin", {"HTTP_AUTHORIZATION": f"Bearer {ADMIN_KEY}"}, now)
        assert statements == []
        environ = {"HTTP_AUTHORIZATION": f"Bearer {keys['sender']}"}
        keyring.require("sender", environ, now)
        assert len(statements) == 2, "find it, mark it used"
        keyring.require("sender", environ, now)
        assert len(statements) == 2

    def test_wrong_keys_in_the_form_of_a_key_cost_one_statement_once_their_address_is_over_the_limit(
        self, engine, keys, now, statements
    ):
        keyring = Keyring(engine, ADMIN_KEY)

        def ask(key, at=now):
            keyring.require(
                "viewer", {"HTTP_AUTHORIZATION": f"Bearer {key}", "REMOTE_ADDR": "198.51.100.1"}, at
            )

        for number in range(API_LIMIT + 1):
            with pytest.raises(ApiError):
                ask(f"guess {number}")
        statements.clear()
        for _ in range(20):
            with pytest.raises(ApiError) as refused:
                ask(f"{api_keys.PREFIX}{token_urlsafe(32)}")
            assert refused.value.status == 429
        assert len(statements) == 1
        ask(keys["viewer"])
        with engine.begin() as connection:
            made = api_keys.create(connection, "new", "viewer", now)
        ask(made.secret, now + timedelta(seconds=10))

    def test_a_caller_over_the_limit_costs_no_statement(self, engine, now, statements):
        throttle = Throttle(engine, limit=2)
        for _ in range(3):
            throttle.count(b"caller", now)
        sent = len(statements)
        assert throttle.wait(b"caller", now) == timedelta(minutes=1)
        assert throttle.wait(b"another", now) == timedelta(0)
        assert len(statements) == sent


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "made up", "unknown"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "", "2001:db8:1:2::"),
        ("", "198.51.100.1", "unknown"),
    ],
)
def test_the_address_that_is_counted(peer, forwarded, counted):
    """X-Forwarded-For counts from trusted proxies only. One IPv6 customer has a /64: all of it is one address."""
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    assert caller_address(environ, (ip_network("10.0.0.0/8"),)) == counted


def test_a_key_that_was_just_made_is_found(engine, now):
    with engine.begin() as connection:
        made = api_keys.create(connection, "shop", "sender", now)
    environ = {"HTTP_AUTHORIZATION": f"Bearer {made.secret}"}
    assert Keyring(engine).require("sender", environ, now).name == "shop"
