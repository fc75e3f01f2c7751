"""DELETE /v1/contacts/{contact}: erases a person. See pipeline/people/erase and docs/operating.md."""

from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.pipeline.people.erase import erase
from webhook_app.store.postgres.engine import connect
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Contact
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address


class ErasedContact(Struct, kw_only=True):
    """What was erased. Nothing in it, and nothing that stays here, says who it was."""

    erasure: Annotated[int, Meta(description="The number of the record that somebody was erased.")]
    rows: Annotated[dict[str, int], Meta(description="Rows deleted or made anonymous, by table.")]
    opted_out: Annotated[
        bool,
        Meta(
            description="The person did not want to be written to: checks go on refusing, by a mark nobody can read."
        ),
    ]
    archive: Annotated[
        str,
        Meta(
            description="done, or pending: the scheduler goes on through the raw archive, some minutes at most."
        ),
    ]


def erase_contact(call: Call, contact: Contact) -> ErasedContact:
    """Erase a person everywhere: under every linked number, number variant and user id.

    Somebody who had opted out is still not to be written to: `/v1/check` says so, by a mark that cannot be read back.
    Counts, rates and books stay as they are: the events stay without the person. The change feed gets one line with
    the action `erase` and nobody's contact: whoever holds a copy of the suppressions fetches it anew. Erasing
    somebody unknown is no error. What Meta sends about the person afterwards is new.
    """
    address = parse_address(contact)
    if isinstance(address, InvalidAddress):
        raise ApiError(400, "bad_contact", f"contact: {address.reason}.")
    url = call.settings.database_url
    done = erase(
        call.connection.engine,
        lambda: connect(url, application="webhook_app erase"),
        address.key,
        actor=call.key.name,
        now=call.now,
    )
    state = "done" if done.archive_done else "pending"
    return ErasedContact(erasure=done.id, rows=done.rows, opted_out=done.opted_out, archive=state)


ENDPOINTS = (Endpoint("DELETE", "/v1/contacts/{contact}", erase_contact, "admin"),)
