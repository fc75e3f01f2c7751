"""A Slack message (blocks, attachments, mrkdwn) as plain text for a terminal. Values only."""

import html
import re
from collections.abc import Iterator
from typing import Any

_LINK = re.compile(r"<([^<>|]+)\|([^<>]*)>")
_BARE = re.compile(r"<((?:https?|mailto):[^<>|]+|[@#!][^<>|]+)>")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")


def plain_text(message: dict[str, Any]) -> str:
    """Everything a reader would see, a block per line; the fallback text only when there are no blocks."""
    lines = list(_blocks(message.get("blocks")))
    if not lines and message.get("text"):
        lines.append(_unmarked(message["text"]))
    for attachment in message.get("attachments") or ():
        inner = list(_blocks(attachment.get("blocks")))
        said = attachment.get("text") or attachment.get("fallback")
        lines += inner or ([_unmarked(said)] if said else [])
    return "\n".join(lines)


def _blocks(blocks: Any) -> Iterator[str]:
    for block in blocks or ():
        kind = block.get("type")
        if kind == "divider":
            yield "-" * 40
        elif kind == "actions":
            yield " ".join(f"[{_text(element.get('text'))}]" for element in block.get("elements", ()))
        elif kind == "context":
            yield " · ".join(filter(None, map(_text, block.get("elements", ()))))
        else:
            yield from _section(block)


def _section(block: dict[str, Any]) -> Iterator[str]:
    parts = [block.get("text"), *(block.get("fields") or ())]
    yield from (said for said in map(_text, parts) if said)
    accessory = block.get("accessory")
    if accessory and (said := _text(accessory.get("text"))):
        yield f"[{said}]"


def _text(part: Any) -> str:
    """A text object of either kind; plain_text carries no marks."""
    if not isinstance(part, dict):
        return ""
    said = str(part.get("text") or part.get("alt_text") or "")
    return said if part.get("type") == "plain_text" else _unmarked(said)


def _unmarked(mrkdwn: str) -> str:
    text = _LINK.sub(r"\2 (\1)", mrkdwn)
    text = _BARE.sub(r"\1", text)
    return html.unescape(_EMPHASIS.sub(r"\1", text))
