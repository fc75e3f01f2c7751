"""/findings: states that last, apart from incidents. Read-only."""

from flask import Response
from msgspec import Struct

from webhook_app.channels.findings import describe_evidence, describe_impact
from webhook_app.store.incidents import findings
from webhook_app.store.incidents.findings import Finding
from webhook_app.web.api import cursor
from webhook_app.web.pages.page import Page, PageRequest, render

_PAGE = 50


class FindingView(Struct, frozen=True):
    """A finding in words."""

    finding: Finding
    impact: str
    evidence: str

    @property
    def incident_ids(self) -> list[int]:
        """The incidents that belong to it, oldest first."""
        listed = self.finding.evidence.get("incidents") or [self.finding.evidence]
        return list(dict.fromkeys(each["incident_id"] for each in listed if "incident_id" in each))


def finding_list(request: PageRequest) -> Response:
    """Open findings, then fixed ones, the latest first."""
    before = cursor.decode_id(request.args.get("cursor"))
    opened = [] if before is not None else findings.open_findings(request.connection)[::-1]
    fixed = findings.list_findings(request.connection, _PAGE + 1, state="fixed", before_id=before)
    page, following = cursor.cut(fixed, _PAGE, lambda finding: finding.id)
    return render(
        request,
        "findings.html",
        opened=[_view(each) for each in opened],
        fixed=[_view(each) for each in page],
        following=following,
        is_first=before is None,
    )


def _view(finding: Finding) -> FindingView:
    return FindingView(
        finding, describe_impact(finding.impact), describe_evidence(finding.kind, finding.evidence)
    )


PAGES = (Page("GET", "/findings", finding_list),)
