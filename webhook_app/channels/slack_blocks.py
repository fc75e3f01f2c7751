"""Formats messages as Slack blocks within its limits. Text never becomes a link or a mention of a channel.

Limits: https://docs.slack.dev/reference/block-kit/blocks (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

from webhook_app.channels.incident_text import Digest, MessageText

_HEADER_LENGTH = 150  # Slack's limit of a header block
_FACT_LENGTH = 550  # a section takes 3000 characters, and escaping may turn one into five
_SECTION_LENGTH = 2900
_LINE_LENGTH = 160
_LINK_LENGTH = 500
_TEXT_LENGTH = 6000

Blocks = list[dict[str, Any]]


def payload(message: MessageText) -> dict[str, Any]:
    """The payload for one incident, with a text for push notifications and screen readers."""
    blocks: Blocks = [
        header(message.headline),
        *(section(f"*{label}:* {escape(cut(text, _FACT_LENGTH))}") for label, text in message.facts),
    ]
    if message.links:
        blocks.append(section(" · ".join(_link(label, url) for label, url in message.links)))
    footer = {"type": "mrkdwn", "verbatim": True, "text": escape(cut(message.footer, _FACT_LENGTH))}
    blocks.append({"type": "context", "elements": [footer]})
    facts = [f"{label}: {cut(text, _FACT_LENGTH)}" for label, text in message.facts]
    return _message("\n".join([message.headline, *facts]), blocks)


def digest_payload(digest: Digest) -> dict[str, Any]:
    """The payload for several incidents, one line each."""
    lines = [_link(cut(text, _LINE_LENGTH), url) for text, url in digest.lines]
    blocks = [header(digest.headline), *(section(text) for text in _pack(lines))]
    return _message("\n".join([digest.headline, *(text for text, _ in digest.lines)]), blocks)


def _message(text: str, blocks: Blocks) -> dict[str, Any]:
    return {"text": escape(cut(text, _TEXT_LENGTH)), "blocks": blocks, "unfurl_links": False}


def _pack(lines: Sequence[str]) -> list[str]:
    """Join the lines into as few texts as Slack's limit allows."""
    texts = [""]
    for line in lines:
        if len(texts[-1]) + len(line) > _SECTION_LENGTH:
            texts.append("")
        texts[-1] += f"• {line}\n"
    return [text for text in texts if text]


def header(headline: str) -> dict[str, Any]:
    """A header block, cut to Slack's limit."""
    escaped = len(escape(headline)) - len(headline)
    text = escape(cut(headline, max(_HEADER_LENGTH - escaped, _HEADER_LENGTH // 5)))
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


def section(text: str) -> dict[str, Any]:
    """A section block of text that is already escaped."""
    return {"type": "section", "text": {"type": "mrkdwn", "verbatim": True, "text": text}}


def escape(text: str) -> str:
    """Escape Slack's three control characters, so that text cannot become a link or mention a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, length: int) -> str:
    """The text, cut to the length with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _link(label: str, url: str) -> str:
    """The label as a link, or the label alone if there is no URL or it is too long."""
    if not url or len(url) > _LINK_LENGTH:
        return escape(label)
    address = escape(url.replace("|", "%7C").replace("<", "%3C").replace(">", "%3E"))
    return f"<{address}|{escape(label)}>"
