"""Health changes of every sample as a table, tiers in every format, and signals without time."""

import json

import pytest

from tests.support.factories import body, document
from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.accounts.health_changes import tier
from webhook_app.whatsapp.accounts.health_signals import FIELDS
from webhook_app.whatsapp.events import HealthSignal
from webhook_app.whatsapp.receiving.payload import parse

ACCOUNT = "account 384610027715590"
NUMBER = "number +13125550199"
TEMPLATE = "template 918273645501928"
MARKETING = f"{TEMPLATE}: category MARKETING"

CHANGES = {
    "account_alerts_capability_deferred": [
        f"{ACCOUNT}: alert increased_capabilities_eligibility_deferred ACTIVE"
    ],
    "account_alerts_flat_legacy": [f"{ACCOUNT}: alert increased_capabilities_eligibility_failed ACTIVE"],
    "account_alerts_oba_approved": ["number 590238114470021: alert oba_approved NONE"],
    "account_review_update_approved": [f"{ACCOUNT}: review APPROVED"],
    "account_review_update_rejected": [f"{ACCOUNT}: review REJECTED"],
    "account_update_account_deleted": [f"{ACCOUNT}: status DELETED"],
    "account_update_account_offboarded": [f"{ACCOUNT}: status OFFBOARDED"],
    "account_update_account_reconnected": [f"{ACCOUNT}: status ACTIVE"],
    "account_update_account_restriction": [
        f"{ACCOUNT}: restriction biz_initiated_messaging RESTRICTED",
        f"{ACCOUNT}: restriction add_phone_number_action RESTRICTED",
    ],
    "account_update_account_violation": [f"{ACCOUNT}: violation SPAM"],
    "account_update_account_violation_number_level": [
        f"{NUMBER}: violation USER_INITIATED_CALLS_LOW_PICKUP_RATE"
    ],
    "account_update_ad_account_linked": [f"{ACCOUNT}: ad_account LINKED"],
    "account_update_auth_intl_price_eligibility": [f"{ACCOUNT}: international_authentication_rate ELIGIBLE"],
    "account_update_disabled": [f"{ACCOUNT}: status DISABLED"],
    "account_update_disabled_scheduled": [f"{ACCOUNT}: status DISABLE_SCHEDULED"],
    "account_update_mm_lite_terms_signed": [f"{ACCOUNT}: marketing_messages_terms SIGNED"],
    "account_update_partner_added": [f"{ACCOUNT}: partner ADDED"],
    "account_update_partner_app_installed": [f"{ACCOUNT}: partner_app INSTALLED"],
    "account_update_partner_app_uninstalled": [f"{ACCOUNT}: partner_app UNINSTALLED"],
    "account_update_partner_client_certification": [f"{ACCOUNT}: partner_certification FAILED"],
    "account_update_partner_removed_disconnected": [f"{ACCOUNT}: partner REMOVED"],
    "account_update_primary_location": [f"{ACCOUNT}: country GB"],
    "account_update_reinstated": [f"{ACCOUNT}: status ACTIVE"],
    "account_update_verified_account_legacy": [f"{NUMBER}: verification VERIFIED"],
    "account_update_volume_tier": [f"{ACCOUNT}: volume_tier utility Rest of Western Europe 1000001:5000000"],
    "batch_two_entries_three_changes": [f"{TEMPLATE}: status PAUSED", MARKETING],
    "business_capability_update_number": [f"{ACCOUNT}: tier TIER_10K", f"{ACCOUNT}: numbers_per_account 25"],
    "business_capability_update_pre_2026": [
        f"{ACCOUNT}: tier_per_number TIER_UNLIMITED",
        f"{ACCOUNT}: numbers_per_account 25",
    ],
    "business_capability_update_tier_string": [
        f"{ACCOUNT}: tier TIER_UNLIMITED",
        f"{ACCOUNT}: numbers_per_account 25",
    ],
    "envelope_change_without_field": [f"{ACCOUNT}: partner_app UNINSTALLED"],
    "message_template_quality_update": [f"{TEMPLATE}: quality RED"],
    "message_template_quality_update_wrong_field_name": [f"{TEMPLATE}: quality YELLOW"],
    "message_template_status_update_approved": [f"{TEMPLATE}: status APPROVED", MARKETING],
    "message_template_status_update_archived": [f"{TEMPLATE}: status ARCHIVED", MARKETING],
    "message_template_status_update_deleted": [f"{TEMPLATE}: status DELETED", MARKETING],
    "message_template_status_update_disabled": [f"{TEMPLATE}: status DISABLED", MARKETING],
    "message_template_status_update_flagged_text_date": [f"{TEMPLATE}: status FLAGGED", MARKETING],
    "message_template_status_update_in_appeal": [f"{TEMPLATE}: status IN_APPEAL", MARKETING],
    "message_template_status_update_limit_exceeded": [f"{TEMPLATE}: status LIMIT_EXCEEDED", MARKETING],
    "message_template_status_update_locked": [f"{TEMPLATE}: status LOCKED", MARKETING],
    "message_template_status_update_paused": [f"{TEMPLATE}: status PAUSED", MARKETING],
    "message_template_status_update_paused_second": [f"{TEMPLATE}: status PAUSED", MARKETING],
    "message_template_status_update_pending": [f"{TEMPLATE}: status PENDING", MARKETING],
    "message_template_status_update_pending_deletion": [f"{TEMPLATE}: status PENDING_DELETION", MARKETING],
    "message_template_status_update_reinstated": [f"{TEMPLATE}: status APPROVED", MARKETING],
    "message_template_status_update_rejected": [f"{TEMPLATE}: status REJECTED", MARKETING],
    "message_template_status_update_rejected_plain": [f"{TEMPLATE}: status REJECTED", MARKETING],
    "message_template_status_update_unarchived": [f"{TEMPLATE}: status APPROVED", MARKETING],
    "message_template_status_update_unpaused": [f"{TEMPLATE}: status APPROVED", MARKETING],
    "phone_number_name_update_approved": [
        f"{NUMBER}: name_review APPROVED",
        f"{NUMBER}: name Harbour Lane Books",
    ],
    "phone_number_name_update_rejected": [f"{NUMBER}: name_review REJECTED"],
    "phone_number_quality_update_downgrade_legacy": [f"{NUMBER}: tier TIER_10K"],
    "phone_number_quality_update_flagged_legacy": [f"{NUMBER}: quality FLAGGED", f"{NUMBER}: tier TIER_10K"],
    "phone_number_quality_update_onboarding": [
        "number +13125550142: registration ONBOARDED",
        "number +13125550142: tier TIER_250",
        f"{ACCOUNT}: tier TIER_250",
    ],
    "phone_number_quality_update_throughput_upgrade": [
        f"{NUMBER}: throughput HIGH",
        f"{NUMBER}: tier TIER_UNLIMITED",
        f"{ACCOUNT}: tier TIER_UNLIMITED",
    ],
    "security_pin_changed": [f"{NUMBER}: two_step_pin CHANGED"],
    "security_pin_reset_request": [f"{NUMBER}: two_step_pin RESET_REQUEST"],
    "security_pin_reset_success": [f"{NUMBER}: two_step_pin RESET_SUCCESS"],
    "template_category_update_completed": [MARKETING, f"{TEMPLATE}: category_to_come NONE"],
    "template_category_update_impending": [
        f"{TEMPLATE}: category UTILITY",
        f"{TEMPLATE}: category_to_come MARKETING",
    ],
    "account_settings_update": ["number 590238114470021: calling DISABLED"],
    "business_username_updates": [f"{NUMBER}: username APPROVED"],
    "flows_client_error_rate": [f"{ACCOUNT}: flow_alert 733001122334455 client_error_rate ACTIVE"],
    "flows_endpoint_availability": [f"{ACCOUNT}: flow_alert 733001122334455 endpoint_availability ACTIVE"],
    "flows_endpoint_error_rate": [f"{ACCOUNT}: flow_alert 733001122334455 endpoint_error_rate RESOLVED"],
    "flows_endpoint_latency": [f"{ACCOUNT}: flow_alert 733001122334455 endpoint_latency ACTIVE"],
    "flows_status_change": [f"{ACCOUNT}: flow_status 733001122334455 THROTTLED"],
    "flows_version_expiry_warning": [f"{ACCOUNT}: flow_version 733001122334455 EXPIRES"],
    "message_template_components_update": [f"{TEMPLATE}: components EDITED"],
    "payment_configuration_update": [f"{ACCOUNT}: payment_configuration books-razorpay NEEDS_TESTING"],
    "template_correct_category_detection": [f"{TEMPLATE}: category_to_come MARKETING"],
}


def describe(signals: list[HealthSignal]) -> list[str]:
    return [f"{c.subject} {c.subject_id}: {c.aspect} {c.value}" for s in signals for c in s.changes]


def detail(sample: str, aspect: str) -> dict[str, object]:
    (signal,) = parse((PAYLOADS / f"{sample}.json").read_bytes()).signals
    (change,) = (c for c in signal.changes if c.aspect == aspect)
    found: dict[str, object] = json.loads(change.detail_json)
    return found


def post(field: str, *values: dict[str, object], time: object = 1_793_001_000) -> bytes:
    webhook = document(*values, field=field)
    if time is not None:
        webhook["entry"][0]["time"] = time
    return json.dumps(webhook).encode()


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_each_sample_gives_the_changes_in_the_table(path):
    assert describe(parse(path.read_bytes()).signals) == CHANGES.get(path.stem, [])


def test_the_table_covers_every_supported_field():
    fields = {s.field for name in CHANGES for s in parse((PAYLOADS / f"{name}.json").read_bytes()).signals}
    assert fields == FIELDS


@pytest.mark.parametrize(
    ("written", "name", "limit"),
    [
        ("TIER_250", "TIER_250", 250),
        ("tier_2k", "TIER_2K", 2_000),
        (2000, "TIER_2K", 2_000),
        ("2000", "TIER_2K", 2_000),
        (1000, "TIER_1K", 1_000),
        (-1, "TIER_UNLIMITED", -1),
        ("-1", "TIER_UNLIMITED", -1),
        ("UNLIMITED", "TIER_UNLIMITED", -1),
        (5000, "TIER_5000", 5_000),
        ("TIER_5M", "TIER_5M", None),
        ("TIER_NOT_SET", "", None),
        ("", "", None),
        (None, "", None),
        (-7, "", None),
        (True, "", None),
        ([250], "", None),
    ],
)
def test_all_formats_of_a_limit_give_one_tier(written, name, limit):
    assert tier(written) == (name, limit)


def test_details_contain_what_an_operator_needs():
    assert detail("message_template_status_update_rejected", "status") == {
        "reason": "INVALID_FORMAT",
        "description": "Two placeholders touch each other.",
        "recommendation": "Put words between the placeholders.",
    }
    assert detail("message_template_status_update_paused", "status")["title"] == "FIRST_PAUSE"
    assert detail("message_template_status_update_disabled", "status")["disable_date"] == 1793000990
    flagged = detail("message_template_status_update_flagged_text_date", "status")
    assert flagged == {"disable_date": "November 2, 2026"}
    assert detail("phone_number_quality_update_downgrade_legacy", "tier") == {
        "before": "TIER_100K",
        "limit": 10_000,
    }
    restricted = detail("account_update_account_restriction", "restriction biz_initiated_messaging")
    assert restricted["until"] == 1793604800


@pytest.mark.parametrize(
    ("event", "title", "state"),
    [("UNPAUSED", "", "APPROVED"), ("PAUSED", "UNPAUSE", "APPROVED"), ("UNPAUSE", "UNPAUSE", "APPROVED")],
)
def test_an_unpaused_template_is_approved_in_all_event_formats(event, title, state):
    value = {"event": event, "message_template_id": 7, "other_info": {"title": title}}
    (signal,) = parse(post("message_template_status_update", value)).signals
    assert describe([signal]) == [f"template 7: status {state}"]


def test_template_ids_are_text_and_languages_have_one_format():
    value = {"event": "PAUSED", "message_template_id": 7, "message_template_language": "en-US"}
    (number,) = parse(post("message_template_status_update", value)).signals
    (text,) = parse(post("message_template_status_update", value | {"message_template_id": "7"})).signals
    assert number.changes == text.changes
    assert number.template_language == text.template_language == "en_US"


def test_both_names_of_a_pin_reset_are_supported():
    value = {"display_phone_number": "+1 312-555-0199", "event": "PIN_REQUEST_SUCCESS"}
    assert describe(parse(post("security", value)).signals) == [f"{NUMBER}: two_step_pin RESET_SUCCESS"]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"new_quality_score": "RED", "message_template_id": 7}, "message_template_quality_update"),
        ({"new_category": "MARKETING", "message_template_id": 7}, "template_category_update"),
        ({"event": "ACCOUNT_RESTRICTION", "restriction_info": []}, "account_update"),
        ({"alert_info": {"alert_type": "OBA_APPROVED"}}, "account_alerts"),
    ],
)
def test_a_missing_field_is_inferred_from_the_keys(value, field):
    webhook = json.loads(post("x", value))
    del webhook["entry"][0]["changes"][0]["field"]
    assert [signal.field for signal in parse(json.dumps(webhook).encode()).signals] == [field]


def test_an_unknown_event_is_kept_under_its_name():
    assert describe(parse(post("account_update", {"event": "ACCOUNT_MERGED"})).signals) == [
        f"{ACCOUNT}: other ACCOUNT_MERGED"
    ]


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("odd", [None, 7, "text", [], ["x"], {"x": 1}, True, 10**30, "\0"])
def test_invalid_values_do_not_affect_other_changes(field, odd):
    keys = (
        *(
            "event",
            "ban_info",
            "violation_info",
            "restriction_info",
            "waba_info",
            "volume_tier_info",
            "alert_info",
        ),
        *("decision", "other_info", "disable_info", "rejection_info", "new_category", "message_template_id"),
        *("max_daily_conversations_per_business", "current_limit", "display_phone_number", "entity_id"),
    )
    values = [{key: odd, "message_template_name": "t"} for key in keys]
    assert parse(post(field, *values)).received == len(keys)


ERROR = {"code": 130429, "title": "Rate limit hit"}


def errors(time: object = None, **more: object) -> list[HealthSignal]:
    webhook = json.loads(body(errors=[ERROR], **more))
    if time is not None:
        webhook["entry"][0]["time"] = time
    return parse(json.dumps(webhook).encode()).signals


def test_an_error_outside_messages_has_the_time_of_its_entry():
    (signal,) = errors(time=1_793_001_000)
    assert (signal.timestamp, signal.error_code) == (1_793_001_000, 130429)


def test_an_equal_error_later_is_new_and_a_retry_is_a_duplicate():
    first, retry, later = errors(time=1_793_001_000), errors(time=1_793_001_000), errors(time=1_793_001_060)
    assert first[0].identity == retry[0].identity != later[0].identity


def test_without_time_the_body_distinguishes_a_retry_from_a_later_error():
    first, retry, later = errors(), errors(), errors(messages=[])
    assert first[0].identity == retry[0].identity != later[0].identity
    assert (
        parse(post("account_review_update", {"decision": "APPROVED"}, time="soon")).signals[0].timestamp
        is None
    )


def test_details_are_cut_to_what_an_operator_reads():
    info = {"violation_type": "SPAM", "remediation": "审" * 900_000}
    (signal,) = parse(
        post("account_update", {"event": "ACCOUNT_VIOLATION", "violation_info": info}, time=1)
    ).signals
    (change,) = signal.changes
    assert json.loads(change.detail_json) == {"remediation": "审" * 499 + "…"}


def test_details_have_a_limited_size_whatever_their_shape():
    info: dict[str, object] = {f"key {place}": ["x" * 400] * 100 for place in range(100)}
    info |= {"deep": [[[["x" * 400] * 12] * 12] * 12], "reason": "LOW_QUALITY", "k" * 5000: 1}
    (signal,) = parse(
        post("account_update", {"event": "PARTNER_REMOVED", "disconnection_info": info}, time=1)
    ).signals
    (change,) = signal.changes
    assert len(change.detail_json) <= 8_000
    assert json.loads(change.detail_json)["reason"] == "LOW_QUALITY"


def test_one_signal_reports_a_limited_number_of_restrictions():
    listed = [{"restriction_type": f"RESTRICTED_{place}"} for place in range(80_000)]
    value = {"event": "ACCOUNT_RESTRICTION", "restriction_info": listed}
    (signal,) = parse(post("account_update", value)).signals
    assert [change.aspect for change in signal.changes] == [f"restriction {place}" for place in range(20)]
