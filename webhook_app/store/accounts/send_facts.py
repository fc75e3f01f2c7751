"""What a preflight needs to know of a sender in one statement: number, account, faults, limits and templates."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text

from webhook_app.rules.sends.preflight_facts import FRESH_FOR, SAMPLE, KnownFault, SendFacts, SendingNumber
from webhook_app.store.accounts.templates import PRESENT, PRESENT_STATUS
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.accounts.template_answers import TemplateFacts

MOST_FALLBACKS = 3

_FACTS = text(f"""
WITH known AS MATERIALIZED (
  SELECT phone_number_id, waba_id, display_phone_number, status, mode, messaging_limit, read_at
  FROM meta_numbers WHERE phone_number_id = :phone_number_id
  UNION ALL
  (SELECT phone_number_id, waba_id, display_phone_number, '', '', '', NULL FROM business_numbers
   WHERE phone_number_id = :phone_number_id ORDER BY seen_at DESC LIMIT 1)
), number AS (  -- the Graph API's description comes first, if there is one
  SELECT phone_number_id, coalesce(nullif(waba_id, ''), (SELECT max(waba_id) FROM known)) AS waba_id,
         regexp_replace(display_phone_number, '[^0-9]', '', 'g') AS digits, status, mode, messaging_limit AS "limit",
         read_at
  FROM known ORDER BY read_at NULLS LAST LIMIT 1
), account AS MATERIALIZED (SELECT waba_id FROM number WHERE waba_id <> '')
SELECT 'number' AS kind, to_jsonb(number) AS value FROM number
UNION ALL
SELECT 'account id', to_jsonb(TRUE)
WHERE NOT EXISTS (SELECT FROM known)
  AND (EXISTS (SELECT FROM business_numbers WHERE waba_id = :phone_number_id)
    OR EXISTS (SELECT FROM meta_numbers WHERE waba_id = :phone_number_id))
UNION ALL
SELECT 'listed', to_jsonb(TRUE)
WHERE NOT EXISTS (SELECT FROM known) AND EXISTS (SELECT FROM meta_numbers WHERE read_at > :since)
UNION ALL
SELECT 'fault', to_jsonb(d) FROM doctor_checks d
WHERE d.status IN ('warning', 'broken') AND (
  (d.subject = 'token' AND d.kind IN ('token', 'token_scopes'))
  OR (d.subject = 'account' AND d.subject_id = (SELECT waba_id FROM account)
      AND (d.kind IN ('account', 'review', 'marketing') OR d.kind LIKE 'health%'))
  OR (d.subject = 'number' AND d.subject_id = :phone_number_id
      AND (d.kind IN ('display_name', 'quality') OR d.kind LIKE 'health%')))
UNION ALL
SELECT a.kind, jsonb_build_object('message', a.explanation ->> 'finding', 'fix', a.explanation ->> 'advice',
                                  'subject', CASE WHEN a."group" ? 'waba_id' THEN 'account' ELSE 'number' END)
FROM alerts a
WHERE a.state = 'firing' AND a.kind IN ('health', 'tier')
  AND coalesce(a."group" ->> 'aspect', '') NOT LIKE 'doctor %'
  AND (a."group" ->> 'phone_number_id' = :phone_number_id
       OR a."group" ->> 'waba_id' = (SELECT waba_id FROM account))
UNION ALL
SELECT 'read at', to_jsonb(r.read_at) FROM template_readings r WHERE r.waba_id = (SELECT waba_id FROM account)
UNION ALL
SELECT 'template', to_jsonb(present) FROM (
  SELECT {PRESENT} FROM meta_templates t LEFT JOIN template_readings r USING (waba_id)
  WHERE t.waba_id = (SELECT waba_id FROM account) AND t.name = ANY(:names)) present
UNION ALL
SELECT 'fallback', jsonb_build_array(f.name, f.language) FROM (
  SELECT t.name, t.language, {PRESENT_STATUS} AS status
  FROM meta_templates t LEFT JOIN template_readings r USING (waba_id)
  WHERE t.waba_id = (SELECT waba_id FROM account) AND t.status = 'APPROVED' AND t.parameters = 0
    AND t.category = 'UTILITY' AND t.quality <> 'RED' AND t.name <> '{SAMPLE}'
  ORDER BY t.name, t.language LIMIT {3 * MOST_FALLBACKS}) f
WHERE f.status = 'APPROVED'
""")


def read_send_facts(
    connection: Connection, phone_number_id: str, names: Sequence[str], now: datetime, app_id: str = ""
) -> SendFacts:
    """The facts about this business number and these templates. `app_id`: the app's id, which is no number."""
    found: dict[str, list[Any]] = {}
    values = {"phone_number_id": phone_number_id, "names": list(names), "since": now - FRESH_FOR}
    for kind, value in connection.execute(_FACTS, values):
        found.setdefault(kind, []).append(value)
    number = _read(found.get("number"), SendingNumber)
    templates: dict[str, list[TemplateFacts]] = {}
    for each in _read(found.get("template"), TemplateFacts):
        templates.setdefault(each.name, []).append(each)
    read_at = _read(found.get("read at"), datetime)
    is_app = app_id != "" and phone_number_id == app_id
    return SendFacts(
        number=number[0] if number else None,
        other_id="app" if is_app else "account" if "account id" in found and not number else "",
        numbers_are_listed="listed" in found,
        faults=[*_read(found.get("fault"), KnownFault), *map(_reported, found.get("health", ()))],
        limit_alert=str(found["tier"][0].get("message") or "") if "tier" in found else "",
        templates=templates,
        templates_read_at=read_at[0] if read_at else None,
        fallbacks=[(name, language) for name, language in found.get("fallback", ())[:MOST_FALLBACKS]],
    )


def _read(values: Sequence[Any] | None, kind: Any) -> list[Any]:
    return [msgspec.convert(value, kind, strict=False) for value in values or ()]


def _reported(value: dict[str, Any]) -> KnownFault:
    return KnownFault(
        kind="alert", subject=value["subject"], message=value.get("message") or "", fix=value.get("fix") or ""
    )
