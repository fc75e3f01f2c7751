"""Checks the templates of an account as Meta's Graph API describes them: one check for all of them."""

from collections.abc import Iterable, Sequence

from webhook_app.rules.accounts.doctor_check import Checked, DoctorCheck, TemplateGroup
from webhook_app.whatsapp.accounts.graph_answers import GraphReadError

_CODES = {"PAUSED": 132015, "DISABLED": 132016}
_HIDDEN = 132001  # a template that is not approved is unknown to /messages
_FIX = (
    "The page /templates lists them. Correct or replace them in WhatsApp Manager before you send with them."
)


def judge_templates(of: Checked, groups: Sequence[TemplateGroup] | GraphReadError) -> Iterable[DoctorCheck]:
    """Whether every template of the account can be sent, and has no RED quality."""
    if isinstance(groups, GraphReadError):
        yield of.unread("templates", groups)
        return
    total = sum(each.templates for each in groups)
    if not total:
        return
    refused = [each for each in groups if each.status != "APPROVED"]
    if refused:
        parts = [
            f"{each.templates} {each.status or 'of unknown status'} ({', '.join(each.names)})"
            for each in refused
        ]
        said = f"{sum(each.templates for each in refused)} of {total} templates cannot be sent: {'; '.join(parts)}."
        yield of.warning("templates", said, _FIX, _CODES.get(refused[0].status, _HIDDEN))
    elif low := sum(each.low_quality for each in groups):
        said = f"Meta rates {low} of {total} templates RED: it may pause them."
        yield of.warning("templates", said, "Send them to fewer people, or change their text.", 132015)
    else:
        yield of.ok("templates", f"All {total} templates can be sent.")
