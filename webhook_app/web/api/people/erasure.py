"""DELETE /v1/contacts/{contact}: erases a person. See pipeline/people/erase and docs/operating.md."""

from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.pipeline.people.erase import erase
from webhook_app.store.postgres.engine import connect
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.people.addresses import require_address
from webhook_app.web.api.values import Contact


class ErasedContact(Struct, kw_only=True):
    """What was erased. Neither the answer nor anything stored says who it was."""

    erasure: Annotated[int, Meta(description="The number of the erasure's record.")]
    rows: Annotated[dict[str, int], Meta(description="Rows deleted or anonymised, by table.")]
    opted_out: Annotated[
        bool,
        Meta(
            description="The person had opted out: checks still refuse them, by a mark that identifies nobody."
        ),
    ]
    earlier_holder_stays: Annotated[
        bool,
        Meta(
            description="Somebody else had this number before and is not erased: who uses it now is. To erase"
            " the earlier holder, name their present number or their user id."
        ),
    ]
    not_searched: Annotated[list[str], Meta(description="Where the person may still be named.")]
    archive: Annotated[
        str,
        Meta(
            description="done, or pending: the scheduler goes on with quarantine and archive, for some minutes at most."
        ),
    ]


def erase_contact(call: Call, contact: Contact) -> ErasedContact:
    """Erase a person under every linked number, number variant and user id.

    Texts that senders and operators wrote are searched too: templates, campaigns, notes, silences, records of alerts;
    `not_searched` lists the rest. A check still refuses a person who had opted out, by a mark that identifies nobody.
    Counts, rates and books do not change: the events stay without the person. The change feed gets one line with the
    action `erase` and no contact, after which copies of the suppressions have to be loaded anew. Erasing an unknown
    person is no error. What Meta sends about the person afterwards is stored as new.
    """
    address = require_address(call.connection, contact)
    url = call.settings.database_url
    done = erase(
        call.connection.engine,
        lambda: connect(url, application="webhook_app erase"),
        address.key,
        actor=call.key.name,
        now=call.now,
    )
    archive = "done" if done.archive_done else "pending"
    return entry_from(done, ErasedContact, erasure=done.id, archive=archive)


ENDPOINTS = (Endpoint("DELETE", "/v1/contacts/{contact}", erase_contact, "admin"),)
