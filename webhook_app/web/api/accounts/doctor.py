"""/v1/doctor: what Meta's Graph API said at the latest reading: token, app, accounts and numbers."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from webhook_app.rules.accounts.doctor_check import worst
from webhook_app.store.accounts import doctor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.values import Time

_Status = Annotated[
    Literal["ok", "unknown", "warning", "broken"],
    Meta(description="unknown: Meta gave no answer, or META_ACCESS_TOKEN is not set."),
]


class DoctorQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters; without any, everything."""

    status: _Status | None = None


class DoctorEntry(Struct, kw_only=True):
    """One check."""

    kind: Annotated[
        str, Meta(description="What was checked, such as token, subscription, callback or number.")
    ]
    subject: Annotated[str, Meta(description="token, app, account, number or service.")]
    subject_id: str
    name: str
    status: _Status
    message: str
    fix: str
    code: Annotated[int, Meta(description="The error that the fault causes, or -1.")]
    since: Annotated[Time, Meta(description="When it got this status.")]
    checked_at: Time


class DoctorReport(Struct, kw_only=True):
    """The checks, the worst first."""

    as_of: Time
    is_configured: Annotated[bool, Meta(description="Whether META_ACCESS_TOKEN is set.")]
    read_at: Annotated[
        Time | None, Meta(description="When Meta was asked last: at the start and every hour.")
    ]
    status: _Status
    checks: list[DoctorEntry]


def get_doctor(call: Call, query: DoctorQuery) -> DoctorReport:
    """Report what Meta says of token, app, accounts and numbers, as the scheduler read it last.

    Each fault has its remedy and the code of the error that it causes. Meta is not asked by this call.
    """
    found = doctor.list_checks(call.connection)
    return DoctorReport(
        as_of=call.now,
        is_configured=bool(call.settings.meta_access_token),
        read_at=max((each.checked_at for each in found), default=None),
        status=worst(each.status for each in found),
        checks=[entry_from(each, DoctorEntry) for each in found if query.status in (None, each.status)],
    )


ENDPOINTS = (Endpoint("GET", "/v1/doctor", get_doctor, "viewer"),)
