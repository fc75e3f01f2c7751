"""Doctor's checks: each fault has its sentence, its remedy and the code it causes; nothing harmless is reported."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from webhook_app.rules.accounts.doctor import judge
from webhook_app.rules.accounts.doctor_check import (
    WANTED_FIELDS,
    AccountReading,
    CertificateFacts,
    Expected,
    GraphReading,
    worst,
)
from webhook_app.whatsapp.accounts.graph_answers import (
    AccountApp,
    AccountFacts,
    AppSubscription,
    EntityHealth,
    GraphReadError,
    NumberFacts,
    TokenFacts,
)

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
OURS = "https://hooks.example/webhook"
EXPECTED = Expected(app_id="900100", callback_url=OURS)
TOKEN = TokenFacts(
    is_valid=True,
    app_id="900100",
    kind="SYSTEM_USER",
    scopes=frozenset(("whatsapp_business_management", "whatsapp_business_messaging")),
)
SUBSCRIPTION = AppSubscription(
    object="whatsapp_business_account", callback_url=OURS, is_active=True, fields=WANTED_FIELDS
)
ACCOUNT = AccountFacts(
    waba_id="5550001", name="Acme EU", status="ACTIVE", review="APPROVED", marketing_is_off=False, limit=""
)
NUMBER = NumberFacts(
    phone_number_id="1060", waba_id="5550001", display_phone_number="+49 30 1234567", verified_name="Acme",
    status="CONNECTED", quality="GREEN", name_status="APPROVED", platform="CLOUD_API", mode="LIVE",
    throughput="STANDARD", limit="TIER_10K", callbacks={"application": OURS},
)  # fmt: skip
GONE = GraphReadError(100, 33, "Unsupported get request. Object with ID '5550001' does not exist")


def reading(token=TOKEN, subscriptions=None, server_time=None, **account):
    parts = {"account": ACCOUNT, "apps": [AccountApp(app_id="900100", callback_url="")], "numbers": [NUMBER]}
    return GraphReading(
        read_at=NOW,
        server_time=server_time,
        token=token,
        subscriptions=[SUBSCRIPTION] if subscriptions is None else subscriptions,
        accounts={"5550001": AccountReading(**parts | account)},
    )


def faults(found, expected=EXPECTED):
    return [
        (check.kind, check.status, check.code) for check in judge(found, expected) if check.status != "ok"
    ]


def test_a_healthy_setup_has_no_fault():
    assert faults(reading()) == []
    assert {check.kind for check in judge(reading(), EXPECTED)} == {
        "token",
        "subscription",
        "account",
        "number",
    }


@pytest.mark.parametrize(
    "number",
    [
        {"quality": "YELLOW"}, {"quality": "UNKNOWN"}, {"quality": ""}, {"name_status": "AVAILABLE_WITHOUT_REVIEW"},
        {"name_status": "PENDING_REVIEW"}, {"status": ""}, {"status": "SOMETHING_NEW"}, {"platform": ""},
        {"callbacks": {}}, {"limit": "TIER_50"}, {"throughput": "NOT_APPLICABLE"},
    ],
)  # fmt: skip
def test_what_is_harmless_or_new_is_no_fault(number):
    assert faults(reading(numbers=[replace(NUMBER, **number)])) == []


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (GraphReadError(190, -1, "Session has expired"), [("token", "broken", 190)]),
        (GraphReadError(-1, -1, "the Graph API cannot be reached"), [("unread_token", "unknown", -1)]),
        (TokenFacts(is_valid=False, code=190, message="expired"), [("token", "broken", 190)]),
        (replace(TOKEN, expires_at=NOW - timedelta(minutes=1)), [("token", "broken", 190)]),
        (replace(TOKEN, expires_at=NOW + timedelta(days=6)), [("token", "warning", 190)]),
        (replace(TOKEN, expires_at=NOW + timedelta(days=8)), []),
        (replace(TOKEN, data_access_expires_at=NOW + timedelta(days=1)), [("token", "warning", 190)]),
        (replace(TOKEN, kind="USER"), [("token_type", "warning", 190)]),
        (
            replace(TOKEN, scopes=frozenset(("whatsapp_business_messaging",))),
            [("token_scopes", "broken", 200)],
        ),
        (replace(TOKEN, app_id="77"), [("token_app", "broken", 190)]),
    ],
)
def test_the_token(token, expected):
    assert faults(reading(token)) == expected


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([], [("subscription", "broken", -1)]),
        ([replace(SUBSCRIPTION, object="page")], [("subscription", "broken", -1)]),
        ([replace(SUBSCRIPTION, is_active=False)], [("subscription", "broken", -1)]),
        ([replace(SUBSCRIPTION, fields=WANTED_FIELDS - {"messages"})], [("subscription", "broken", -1)]),
        ([replace(SUBSCRIPTION, fields=frozenset(("messages",)))], [("subscription", "warning", -1)]),
        ([replace(SUBSCRIPTION, callback_url="https://old.example/webhook")], [("callback", "broken", -1)]),
        ([replace(SUBSCRIPTION, callback_url=f"{OURS}/")], [("callback", "broken", -1)]),
        ([replace(SUBSCRIPTION, callback_url="https://[x")], [("callback", "broken", -1)]),
        (
            GraphReadError(15, -1, "must be called with an app access_token"),
            [("unread_subscription", "unknown", 15)],
        ),
    ],
)
def test_the_app_s_webhook(subscriptions, expected):
    assert faults(reading(subscriptions=subscriptions)) == expected


def test_without_an_app_id_or_public_address_nothing_is_claimed_about_them():
    found = reading(apps=[AccountApp(app_id="1", callback_url="https://other.example/webhook")])
    assert faults(found, Expected()) == [("subscription", "unknown", -1)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"account": GONE}, [("account", "warning", 100)]),
        (
            {"account": GraphReadError(200, -1, "(#200) You do not have permission")},
            [("account", "warning", 200)],
        ),
        ({"account": GraphReadError(4, -1, "limit reached")}, [("unread_account", "unknown", 4)]),
        ({"account": replace(ACCOUNT, status="DISABLED")}, [("account", "broken", 131031)]),
        ({"account": replace(ACCOUNT, review="REJECTED")}, [("review", "broken", 131031)]),
        ({"account": replace(ACCOUNT, review="PENDING")}, [("review", "warning", -1)]),
        ({"account": replace(ACCOUNT, marketing_is_off=True)}, [("marketing", "warning", 131063)]),
        ({"apps": []}, [("account_app", "broken", -1)]),
        ({"apps": [AccountApp(app_id="77", callback_url="")]}, [("account_app", "broken", -1)]),
        (
            {"apps": [AccountApp(app_id="900100", callback_url="https://old.example/webhook")]},
            [("account_callback", "broken", -1)],
        ),
        ({"apps": GraphReadError(1, -1, "unknown")}, [("unread_account_app", "unknown", 1)]),
        ({"numbers": GraphReadError(10, -1, "no permission")}, [("numbers", "warning", 10)]),
    ],
)
def test_an_account(parts, expected):
    assert faults(reading(**parts)) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ({"status": "PENDING"}, ("number", "broken", 133010)),
        ({"status": "DISCONNECTED"}, ("number", "broken", 133010)),
        ({"status": "BANNED"}, ("number", "broken", 131031)),
        ({"status": "RATE_LIMITED"}, ("number", "warning", 130429)),
        ({"platform": "NOT_APPLICABLE"}, ("number", "broken", 133010)),
        ({"name_status": "DECLINED"}, ("display_name", "warning", 131037)),
        ({"quality": "RED"}, ("quality", "warning", 131048)),
        ({"mode": "SANDBOX"}, ("test_number", "warning", 131030)),
        (
            {"callbacks": {"application": OURS, "phone_number": "https://x.example/"}},
            ("number_callback", "broken", -1),
        ),
    ],
)
def test_a_number(number, expected):
    assert faults(reading(numbers=[replace(NUMBER, **number)])) == [expected]


def test_the_first_level_with_an_address_decides_where_webhooks_go():
    callbacks = {"application": "https://old.example/webhook", "phone_number": OURS}
    assert faults(reading(numbers=[replace(NUMBER, callbacks=callbacks)])) == []


def test_what_blocks_sending_is_named_with_meta_s_own_code_and_remedy():
    blocked = EntityHealth(
        kind="WABA", entity_id="5550001", can_send="BLOCKED", code=141006,
        reason="payment method missing", solution="add one",
    )  # fmt: skip
    limited = replace(blocked, kind="PHONE_NUMBER", can_send="LIMITED", code=-1, reason="", solution="")
    found = judge(reading(health=[blocked], number_health={"1060": [limited]}), EXPECTED)
    assert [(each.kind, each.status, each.code, each.fix) for each in found if each.status != "ok"] == [
        ("health_waba", "broken", 141006, "add one."),
        ("health_phone_number", "warning", -1, "WhatsApp Manager shows its state."),
    ]


@pytest.mark.parametrize(("seconds", "expected"), [(59, []), (-61, [("clock", "warning", -1)])])
def test_the_clock(seconds, expected):
    assert faults(reading(server_time=NOW + timedelta(seconds=seconds))) == expected


def test_every_fault_has_a_remedy_or_is_unknown():
    broken = reading(
        replace(TOKEN, app_id="77", kind="USER", scopes=frozenset()),
        [],
        apps=[],
        numbers=[replace(NUMBER, status="BANNED", quality="RED", mode="SANDBOX", name_status="DECLINED")],
    )
    for check in judge(broken, EXPECTED):
        assert check.message.endswith(".")
        assert check.status in ("ok", "unknown") or check.fix.endswith(".")


def test_the_worst_comes_first_and_stands_for_all():
    found = judge(reading(replace(TOKEN, kind="USER"), []), EXPECTED)
    assert [each.status for each in found][:2] == ["broken", "warning"]
    assert worst(each.status for each in found) == "broken"
    assert worst([]) == "unknown"


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("lasts", "left", "status"),
    [(90, 30, "ok"), (90, 14, "warning"), (90, -1, "warning"), (6, 3, "ok"), (6, 2, "warning")],
)
def test_a_certificate_that_should_have_been_renewed_is_a_warning(lasts, left, status):
    shown = CertificateFacts(
        host="hooks.example", begins_at=NOW + (left - lasts) * DAY, ends_at=NOW + left * DAY
    )
    found = reading()
    found.certificate = shown
    (check,) = (each for each in judge(found, EXPECTED) if each.kind == "certificate")
    assert (check.status, check.subject_id) == (status, "hooks.example")


def test_a_certificate_that_is_not_trusted_is_a_warning_with_the_reason():
    found = reading()
    found.certificate = CertificateFacts(host="hooks.example", fault="certificate has expired")
    (check,) = (each for each in judge(found, EXPECTED) if each.kind == "certificate")
    assert (check.status, "certificate has expired" in check.message) == ("warning", True)
