"""A table of the parsed items of every sample payload."""

from collections import Counter

import pytest

from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.events import NO_CODE, Parsed
from webhook_app.whatsapp.receiving.payload import parse

ITEMS = {
    "account_alerts_capability_deferred": [
        "signal account_alerts INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED"
    ],
    "account_alerts_flat_legacy": ["signal account_alerts INCREASED_CAPABILITIES_ELIGIBILITY_FAILED"],
    "account_alerts_oba_approved": ["signal account_alerts OBA_APPROVED"],
    "account_review_update_approved": ["signal account_review_update APPROVED"],
    "account_review_update_rejected": ["signal account_review_update REJECTED"],
    "account_settings_update": ["signal account_settings_update "],
    "account_update_account_deleted": ["signal account_update ACCOUNT_DELETED"],
    "account_update_account_offboarded": ["signal account_update ACCOUNT_OFFBOARDED"],
    "account_update_account_reconnected": ["signal account_update ACCOUNT_RECONNECTED"],
    "account_update_account_restriction": ["signal account_update ACCOUNT_RESTRICTION"],
    "account_update_account_violation": ["signal account_update ACCOUNT_VIOLATION"],
    "account_update_account_violation_number_level": ["signal account_update ACCOUNT_VIOLATION"],
    "account_update_ad_account_linked": ["signal account_update AD_ACCOUNT_LINKED"],
    "account_update_auth_intl_price_eligibility": [
        "signal account_update AUTH_INTL_PRICE_ELIGIBILITY_UPDATE"
    ],
    "account_update_disabled": ["signal account_update DISABLED_UPDATE"],
    "account_update_disabled_scheduled": ["signal account_update DISABLED_UPDATE"],
    "account_update_mm_lite_terms_signed": ["signal account_update MM_LITE_TERMS_SIGNED"],
    "account_update_partner_added": ["signal account_update PARTNER_ADDED"],
    "account_update_partner_app_installed": ["signal account_update PARTNER_APP_INSTALLED"],
    "account_update_partner_app_uninstalled": ["signal account_update PARTNER_APP_UNINSTALLED"],
    "account_update_partner_client_certification": [
        "signal account_update PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE"
    ],
    "account_update_partner_removed_disconnected": ["signal account_update PARTNER_REMOVED"],
    "account_update_primary_location": ["signal account_update BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE"],
    "account_update_reinstated": ["signal account_update DISABLED_UPDATE"],
    "account_update_verified_account_legacy": ["signal account_update VERIFIED_ACCOUNT"],
    "account_update_volume_tier": ["signal account_update VOLUME_BASED_PRICING_TIER_UPDATE"],
    "automatic_events_lead": ["ignored field automatic_events"],
    "automatic_events_purchase": ["ignored field automatic_events"],
    "batch_failed_then_delivered_other_device": ["1 failed 131000", "1 delivered"],
    "batch_messages_and_statuses_same_value": [
        "1 read",
        "inbound text",
        "signal errors Something went wrong 131000",
    ],
    "batch_out_of_order_and_duplicate": ["1 read", "2 delivered", "1 sent"],
    "batch_two_entries_three_changes": [
        "1 sent",
        "1 delivered",
        "1 failed 131026",
        "inbound text",
        "signal message_template_status_update PAUSED",
    ],
    "business_capability_update_number": ["signal business_capability_update "],
    "business_capability_update_pre_2026": ["signal business_capability_update "],
    "business_capability_update_tier_string": ["signal business_capability_update "],
    "business_username_updates": ["signal business_username_updates approved"],
    "calls_status_ringing": ["ignored call status"],
    "calls_user_initiated_connect": ["inbound call"],
    "envelope_change_without_field": ["signal account_update PARTNER_APP_UNINSTALLED"],
    "envelope_changed_fields_only": ["ignored changed_fields without values"],
    "envelope_empty_entry": [],
    "envelope_other_object": ["ignored other object"],
    "errors_value_level_rate_limit": ["signal errors Rate limit hit 130429"],
    "errors_value_level_sparse": ["signal errors We were unable to authenticate the app user 0"],
    "errors_value_level_webhook_lost_131035": [
        "signal errors Webhook could not be delivered within data retention limit 131035"
    ],
    "flows_client_error_rate": ["signal flows CLIENT_ERROR_RATE"],
    "flows_endpoint_availability": ["signal flows ENDPOINT_AVAILABILITY"],
    "flows_endpoint_error_rate": ["signal flows ENDPOINT_ERROR_RATE"],
    "flows_endpoint_latency": ["signal flows ENDPOINT_LATENCY"],
    "flows_status_change": ["signal flows FLOW_STATUS_CHANGE"],
    "flows_version_expiry_warning": ["signal flows FLOW_VERSION_EXPIRY_WARNING"],
    "group_lifecycle_update": ["ignored field group_lifecycle_update"],
    "group_participants_update": ["ignored field group_participants_update"],
    "group_settings_update": ["ignored field group_settings_update"],
    "group_status_update": ["ignored field group_status_update"],
    "history_chunk": ["ignored field history"],
    "history_declined": ["ignored field history"],
    "message_button_template_quick_reply_optout": ["inbound button stop_marketing"],
    "message_contacts_request_contact_info": ["inbound contact_request"],
    "message_edit": ["inbound edit window stays"],
    "message_image": ["inbound image"],
    "message_interactive_button_reply": ["inbound button_reply"],
    "message_interactive_list_reply": ["inbound list_reply"],
    "message_interactive_nfm_reply": ["inbound nfm_reply"],
    "message_reaction": ["inbound reaction window stays"],
    "message_reaction_removed": ["inbound reaction window stays"],
    "message_revoke": ["inbound revoke window stays"],
    "message_system_user_changed_number": ["number change 12025550117 to 12025550129"],
    "message_system_user_changed_user_id": [
        "number change US.55820917364400918273 to US.77665544332211009988"
    ],
    "message_template_components_update": ["signal message_template_components_update "],
    "message_template_quality_update": ["signal message_template_quality_update RED"],
    "message_template_quality_update_wrong_field_name": ["signal message_template_quality_update YELLOW"],
    "message_template_status_update_approved": ["signal message_template_status_update APPROVED"],
    "message_template_status_update_archived": ["signal message_template_status_update ARCHIVED"],
    "message_template_status_update_deleted": ["signal message_template_status_update DELETED"],
    "message_template_status_update_disabled": ["signal message_template_status_update DISABLED"],
    "message_template_status_update_flagged_text_date": ["signal message_template_status_update FLAGGED"],
    "message_template_status_update_in_appeal": ["signal message_template_status_update IN_APPEAL"],
    "message_template_status_update_limit_exceeded": ["signal message_template_status_update LIMIT_EXCEEDED"],
    "message_template_status_update_locked": ["signal message_template_status_update LOCKED"],
    "message_template_status_update_paused": ["signal message_template_status_update PAUSED"],
    "message_template_status_update_paused_second": ["signal message_template_status_update PAUSED"],
    "message_template_status_update_pending": ["signal message_template_status_update PENDING"],
    "message_template_status_update_pending_deletion": [
        "signal message_template_status_update PENDING_DELETION"
    ],
    "message_template_status_update_reinstated": ["signal message_template_status_update REINSTATED"],
    "message_template_status_update_rejected": ["signal message_template_status_update REJECTED"],
    "message_template_status_update_rejected_plain": ["signal message_template_status_update REJECTED"],
    "message_template_status_update_unarchived": ["signal message_template_status_update UNARCHIVED"],
    "message_template_status_update_unpaused": ["signal message_template_status_update APPROVED"],
    "message_text": ["inbound text"],
    "message_text_group": ["inbound text window stays"],
    "message_text_start": ["inbound text start"],
    "message_text_stop": ["inbound text stop window stays"],
    "message_text_stop_noisy": ["inbound text stop window stays"],
    "message_text_unicode": ["inbound text"],
    "message_text_username_no_phone": ["inbound text stop window stays"],
    "message_unsupported_131051": ["inbound unsupported"],
    "message_unsupported_131060": ["inbound unsupported"],
    "message_user_actions_landing_page_view": ["ignored user_actions"],
    "message_user_actions_link_click": ["ignored user_actions"],
    "messaging_handovers": ["handover to us"],
    "messaging_handovers_app_roles_legacy": ["handover to us, ai_agent"],
    "messaging_handovers_passed": ["handover to us, ai_agent"],
    "messaging_handovers_taken": ["handover to another, escalation"],
    "messaging_handovers_unknown_type": [
        "quarantined messaging_handovers: unknown handover 'control_requested'"
    ],
    "partner_solutions": ["ignored field partner_solutions"],
    "payment_configuration_update": ["signal payment_configuration_update Needs Testing"],
    "phone_number_name_update_approved": ["signal phone_number_name_update APPROVED"],
    "phone_number_name_update_rejected": ["signal phone_number_name_update REJECTED"],
    "phone_number_quality_update_downgrade_legacy": ["signal phone_number_quality_update DOWNGRADE"],
    "phone_number_quality_update_flagged_legacy": ["signal phone_number_quality_update FLAGGED"],
    "phone_number_quality_update_onboarding": ["signal phone_number_quality_update ONBOARDING"],
    "phone_number_quality_update_throughput_upgrade": [
        "signal phone_number_quality_update THROUGHPUT_UPGRADE"
    ],
    "security_pin_changed": ["signal security PIN_CHANGED"],
    "security_pin_reset_request": ["signal security PIN_RESET_REQUEST"],
    "security_pin_reset_success": ["signal security PIN_RESET_SUCCESS"],
    "smb_app_state_sync": ["ignored field smb_app_state_sync"],
    "smb_message_echoes_revoke": ["ignored field smb_message_echoes"],
    "smb_message_echoes_text": ["ignored field smb_message_echoes"],
    "standby": ["ignored field standby"],
    "status_deleted_legacy": ["ignored status deleted"],
    "status_delivered": ["1 delivered"],
    "status_delivered_bsuid_only": ["1 delivered"],
    "status_delivered_identity_hash_unknown_keys": ["1 delivered"],
    "status_delivered_max_price_cost": ["1 delivered"],
    "status_delivered_parent_key_old_spelling": ["1 delivered"],
    "status_delivered_service_free_tier": ["1 delivered"],
    "status_failed_account_locked_131031": ["1 failed 131031"],
    "status_failed_bsuid_recipient": ["1 failed 131026"],
    "status_failed_experiment_130472": ["1 failed 130472"],
    "status_failed_healthy_ecosystem_131049": ["1 failed 131049"],
    "status_failed_marketing_optout_131050": ["1 failed 131050"],
    "status_failed_media_131053": ["1 failed 131053"],
    "status_failed_multi_device_131036": ["1 failed 131036"],
    "status_failed_no_errors_array": ["1 failed -1"],
    "status_failed_pair_rate_131056": ["1 failed 131056"],
    "status_failed_payment_issue_131042": ["1 failed 131042"],
    "status_failed_rate_limit_130429": ["1 failed 130429"],
    "status_failed_reengagement_131047": ["1 failed 131047"],
    "status_failed_spam_rate_131048": ["1 failed 131048"],
    "status_failed_sparse_error": ["1 failed 131014"],
    "status_failed_template_paused_132015": ["1 failed 132015"],
    "status_failed_two_errors": ["1 failed 131053"],
    "status_failed_undeliverable_131026": ["1 failed 131026"],
    "status_failed_unknown_131000": ["1 failed 131000"],
    "status_failed_unknown_code": ["1 failed 139999"],
    "status_group_delivered_aggregated": ["2 delivered in a group"],
    "status_group_failed": ["1 failed 131000 in a group"],
    "status_group_read_alias_keys": ["1 read in a group"],
    "status_group_read_bsuid_participant": ["1 read in a group"],
    "status_group_sent": ["1 sent in a group"],
    "status_payment_captured": ["ignored payment status"],
    "status_payment_failed": ["ignored payment status"],
    "status_payment_pending": ["ignored payment status"],
    "status_played": ["1 played"],
    "status_read": ["1 read"],
    "status_read_without_delivered": ["1 read"],
    "status_sent": ["1 sent"],
    "status_sent_cbp_legacy": ["1 sent"],
    "status_sent_direct_send_template_id": ["1 sent"],
    "status_sent_free_entry_point": ["1 sent"],
    "status_sent_minimal": ["1 sent"],
    "status_sent_v23_conversation": ["1 sent"],
    "status_unknown_future_value": ["quarantined statuses: unknown status 'queued_on_device'"],
    "status_warning_legacy": ["ignored status warning"],
    "template_category_update_completed": ["signal template_category_update MARKETING"],
    "template_category_update_impending": ["signal template_category_update UTILITY"],
    "template_correct_category_detection": ["signal template_correct_category_detection MARKETING"],
    "tracking_events": ["ignored field tracking_events"],
    "unknown_field": ["ignored field a_field_added_later"],
    "user_id_update_not_subscribable": ["ignored field user_id_update"],
    "user_preferences_resume": ["preference resume"],
    "user_preferences_signup": ["ignored preference signup"],
    "user_preferences_stop": ["preference stop"],
    "user_preferences_stop_bsuid_only": ["preference stop"],
    "user_preferences_stop_pre_bsuid": ["preference stop"],
    "wire_form_escaped_one_line": ["inbound text"],
}


def describe(parsed: Parsed) -> list[str]:
    """Describe the parsed items, with counts of equal statuses and ignored items."""
    statuses = Counter(
        event.status
        + (f" {event.error_code}" if event.status == "failed" else "")
        + (" in a group" if event.group else "")
        for event in parsed.statuses
    )
    return [
        *(f"{count} {what}" for what, count in statuses.items()),
        *(
            " ".join(
                ["inbound", m.kind, *filter(None, [m.keyword]), *([] if m.opens_window else ["window stays"])]
            )
            for m in parsed.inbound
        ),
        *(f"preference {preference.value}" for preference in parsed.preferences),
        *(f"number change {c.old_contact} to {c.new_contact}" for c in parsed.number_changes),
        *(
            ", ".join(filter(None, (f"handover to {'us' if h.is_ours else 'another'}", h.owner)))
            for h in parsed.handovers
        ),
        *(
            f"signal {s.field} {s.event}" + ("" if s.error_code == NO_CODE else f" {s.error_code}")
            for s in parsed.signals
        ),
        *(f"quarantined {item.reason}" for item in parsed.unreadable),
        *(f"ignored {why}" + (f" x{count}" if count > 1 else "") for why, count in parsed.ignored.items()),
    ]


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_each_sample_gives_the_items_in_the_table(path):
    assert describe(parse(path.read_bytes())) == ITEMS[path.stem]


def test_the_table_lists_exactly_the_samples():
    assert {path.stem for path in PAYLOADS.glob("*.json")} == set(ITEMS)
