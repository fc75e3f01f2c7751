"""/doctor: what Meta's Graph API says of token, app, accounts and numbers. Read-only."""

from flask import Response

from webhook_app.store.accounts import doctor
from webhook_app.web.pages.page import Page, PageRequest, render

BADGES = {
    "broken": ("bad", "▲ broken"),
    "warning": ("watch", "◆ watch"),
    "unknown": ("", "unknown"),
    "ok": ("calm", "✓ ok"),
}


def doctor_page(request: PageRequest) -> Response:
    """The checks of the latest reading, the worst first."""
    found = doctor.list_checks(request.connection)
    return render(
        request,
        "doctor.html",
        is_configured=bool(request.settings.meta_access_token),
        faults=[each for each in found if each.status != "ok"],
        fine=[each for each in found if each.status == "ok"],
        read_at=max((each.checked_at for each in found), default=None),
        badges=BADGES,
    )


PAGES = (Page("GET", "/doctor", doctor_page),)
