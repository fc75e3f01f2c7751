"""/v1/findings: lasting states apart from incidents: what is found, since when, its impact, what to do."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, convert

from webhook_app.rules.incidents.findings.finding import FindingKind
from webhook_app.store.incidents import findings
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time
from webhook_app.web.errors import ApiError

FindingId = Annotated[int, Meta(description="The finding's number.")]
_State = Literal["open", "fixed"]


class FindingsQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    state: _State | None = None
    kind: FindingKind | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class FindingDetail(Struct, kw_only=True):
    """One finding. Shares are between 0 and 1."""

    id: int
    kind: Annotated[
        str,
        Meta(
            description="chronic: a code fails every day; recurring: at the same hour of several days;"
            " template_quality: Meta rates a template YELLOW or RED; unlabelled_sends: most messages name neither"
            " template nor campaign; unreached_list: many contacts of a campaign were never reached."
        ),
    ]
    state: _State
    title: str
    severity: Literal["notice", "warning"]
    waba_id: Annotated[str, Meta(description="Empty: several accounts, or not known.")]
    codes: Annotated[list[int], Meta(description="The leading one first.")]
    slice: Annotated[dict[str, list[str]] | None, Meta(description="What it is about: values by dimension.")]
    impact: Annotated[
        dict[str, Any],
        Meta(description="failures, contacts, messages, days and share, as far as the kind counts them."),
    ]
    evidence: Annotated[dict[str, Any], Meta(description="What was counted; it depends on the kind.")]
    advice: str
    since: Time
    found_at: Time
    seen_at: Annotated[Time, Meta(description="When the state was observed last.")]
    notified_at: Time | None
    fixed_at: Time | None


class FindingList(Struct):
    """Findings, the newest first."""

    findings: list[FindingDetail]
    next_cursor: NextCursor


def list_findings(call: Call, query: FindingsQuery) -> FindingList:
    """List findings, the newest first. Fixed ones are kept as long as failures."""
    found = findings.list_findings(
        call.connection,
        query.limit + 1,
        state=query.state,
        kind=query.kind,
        before_id=cursor.decode_id(query.cursor),
    )
    page, following = cursor.cut(found, query.limit, lambda finding: finding.id)
    return FindingList([convert(each, FindingDetail, from_attributes=True) for each in page], following)


def get_finding(call: Call, finding_id: FindingId) -> FindingDetail:
    """Return one finding."""
    found = findings.get(call.connection, finding_id)
    if found is None:
        raise ApiError(
            404, "not_found", f"There is no finding {finding_id}, or it is older than the retention period."
        )
    return convert(found, FindingDetail, from_attributes=True)


ENDPOINTS = (
    Endpoint("GET", "/v1/findings", list_findings, "viewer"),
    Endpoint("GET", "/v1/findings/{finding_id}", get_finding, "viewer"),
)
