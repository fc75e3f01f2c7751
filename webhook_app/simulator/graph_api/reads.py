"""Answers to reads of the simulated Graph API: token, app, account, numbers, templates. Values only."""

import hmac
from collections.abc import Mapping

from webhook_app.simulator.graph_api.account import APP_ID, EXPIRED_TOKEN, TOKEN, SimulatedAccount
from webhook_app.simulator.graph_api.answers import (
    CANNOT_PARSE_TOKEN,
    TOKEN_EXPIRED,
    GraphRefusal,
    no_such_object,
    refusal,
)
from webhook_app.simulator.messages import Json

_PAGE = 25
_LARGEST_PAGE = 1000
_FIELDS = {  # those that a node of ours may lack, beside those it has
    "WhatsAppBusinessAccount": {"on_behalf_of_business_info", "is_enabled_for_insights", "primary_funding_id"},
    "WhatsAppBusinessPhoneNumber": {"webhook_configuration", "country_dial_code", "username"},
    "WhatsAppMessageTemplate": {
        "name", "language", "status", "category", "parameter_format", "quality_score", "rejected_reason", "components",
        "sub_category", "previous_category", "correct_category", "message_send_ttl_seconds", "library_template_name",
        "cta_url_link_tracking_opted_out", "degrees_of_freedom_spec", "bid_spec", "health_status",
    },
}  # fmt: skip
_FILTERS = ("name", "status", "language", "category")


def token_fault(account: SimulatedAccount, token: str, query: Mapping[str, str]) -> GraphRefusal | None:
    """Return why Meta takes no call with this token and proof, or None."""
    if token == EXPIRED_TOKEN:
        return TOKEN_EXPIRED
    if token not in (TOKEN, account.app_token):
        return CANNOT_PARSE_TOKEN
    proof = hmac.new(account.app_secret.encode(), token.encode(), "sha256").hexdigest()
    if query.get("appsecret_proof", proof) != proof:
        return GraphRefusal(100, "Invalid appsecret_proof provided in the API argument")
    return None


def read(account: SimulatedAccount, path: str, query: Mapping[str, str], token: str) -> Json | GraphRefusal:
    """Return the JSON of one GET, or the error. `path` is without version."""
    if path == "debug_token":
        return {"data": _debugged(account, query.get("input_token", ""))}
    if path == f"{APP_ID}/subscriptions":
        if token != account.app_token:
            return refusal(15, message="This method must be called with an app access_token.")
        return {"data": account.subscriptions()}
    fields = [name for name in query.get("fields", "").split(",") if name]
    if edge := account.edges().get(path):
        return _edge(*edge, fields, query)
    if node := account.nodes().get(path):
        kind, row = node
        return _unknown_field(kind, [row], fields) or _chosen(row, fields or ["id", "name"])
    return no_such_object("get", path.partition("/")[0])


def _debugged(account: SimulatedAccount, token: str) -> Json:
    if token == TOKEN:
        return account.token_data()
    if token == account.app_token:
        return {"app_id": APP_ID, "type": "APP", "application": "Acme sends", "is_valid": True, "scopes": []}
    expired = token == EXPIRED_TOKEN
    fault = TOKEN_EXPIRED if expired else CANNOT_PARSE_TOKEN
    error: Json = {"code": fault.code, "message": fault.message}
    if fault.subcode >= 0:
        error["subcode"] = fault.subcode
    return (account.token_data() if expired else {"scopes": []}) | {"is_valid": False, "error": error}


def _edge(kind: str, rows: list[Json], fields: list[str], query: Mapping[str, str]) -> Json | GraphRefusal:
    if fault := _unknown_field(kind, rows, fields):
        return fault
    for name in _FILTERS:
        if kind == "WhatsAppMessageTemplate" and name in query:
            rows = [row for row in rows if str(row.get(name)) == query[name]]
    first, size = (_number(query, name, default) for name, default in (("after", 0), ("limit", _PAGE)))
    last = first + max(1, min(size, _LARGEST_PAGE))
    page = [_chosen(row, fields) if fields else row for row in rows[first:last]]
    if not page:
        return {"data": []}
    paging: Json = {"cursors": {"before": str(first), "after": str(last)}}
    if last < len(rows):
        paging["next"] = f"https://graph.facebook.com/?limit={size}&after={last}"
    return {"data": page, "paging": paging}


def _unknown_field(kind: str, rows: list[Json], fields: list[str]) -> GraphRefusal | None:
    """One unknown field fails the whole read."""
    known = _FIELDS.get(kind, set()).union({"id"}, *rows)
    unknown = next((name for name in fields if name not in known), None)
    if unknown is None:
        return None
    return refusal(100, message=f"Tried accessing nonexisting field ({unknown}) on node type ({kind})")


def _chosen(row: Json, fields: list[str]) -> Json:
    return {name: value for name, value in row.items() if name in ("id", *fields)}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    given = query.get(name, "")
    return int(given) if given.isdecimal() and len(given) < 10 else default
