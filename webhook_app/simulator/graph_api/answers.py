"""Answers of the Graph API: Meta's error object with its HTTP status. Values only.

The texts are those that Meta's answers have been seen with until November 2026, else the catalogue's.
"""

from msgspec import Struct

from webhook_app.simulator.messages import Json
from webhook_app.whatsapp.errors.catalogue import explain

_MESSAGES = {  # where an answer says something else than Meta's page on error codes
    4: "Application request limit reached",
    131008: "Required parameter is missing",
    131058: "Hello World templates can only be sent from the Public Test Numbers",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132012: "Parameter format does not match format in the created template",
    133010: "Account not registered",
}
_EXPIRED = "Error validating access token: Session has expired on Monday, 02-Nov-26 02:00:00 PST."


class GraphAnswer(Struct, frozen=True):
    """The status and JSON of one answer."""

    status: int
    body: Json


class GraphRefusal(Struct, frozen=True):
    """An error that Meta answers. `subcode` -1: none."""

    code: int
    message: str
    details: str = ""
    subcode: int = -1
    kind: str = "OAuthException"


CANNOT_PARSE_TOKEN = GraphRefusal(190, "Invalid OAuth access token - Cannot parse access token")
TOKEN_EXPIRED = GraphRefusal(190, _EXPIRED, subcode=463)


def refusal(code: int, details: str = "", message: str = "") -> GraphRefusal:
    """Return the error with this code; without a message it has the usual one."""
    said = message or _MESSAGES.get(code) or explain(code).title
    return GraphRefusal(code, f"(#{code}) {said}", details)


def refusal_with_meaning(code: int) -> GraphRefusal:
    """Return the error with this code; its details say what the code means."""
    return TOKEN_EXPIRED if code == TOKEN_EXPIRED.code else refusal(code, explain(code).summary)


def no_such_object(method: str, object_id: str) -> GraphRefusal:
    """Return the error for an id that does not exist, or that the token does not reach."""
    said = (
        f"Unsupported {method} request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing"
        " permissions, or does not support this operation. Please read the Graph API documentation at"
        " https://developers.facebook.com/docs/graph-api"
    )
    return GraphRefusal(100, said, subcode=33, kind="GraphMethodException")


def error_answer(refused: GraphRefusal, trace_id: str) -> GraphAnswer:
    """Return Meta's error object and its HTTP status."""
    error: Json = {"message": refused.message, "type": refused.kind, "code": refused.code}
    if refused.subcode >= 0:
        error["error_subcode"] = refused.subcode
    if refused.details:
        error["error_data"] = {"messaging_product": "whatsapp", "details": refused.details}
    error["fbtrace_id"] = trace_id
    return GraphAnswer(explain(refused.code).http_status or 400, {"error": error})
