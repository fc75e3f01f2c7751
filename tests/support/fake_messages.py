"""What Meta's /messages answers to a send, as captured answers and Meta's pages describe it (state: November 2026).

Written from those facts, apart from the code under test. One function per question that Meta asks, in its order.
"""

import re

TYPES = {"audio", "contacts", "document", "image", "interactive", "location", "reaction", "sticker", "template", "text",
         "video"}  # fmt: skip
MEDIA = {"audio", "document", "image", "sticker", "video"}
USER_ID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]+")
VARIABLE = re.compile(r"{{(\w+)}}")


class Refused(Exception):  # noqa: N818  it is an answer
    """An answer with an error; the argument is its code."""


class FakeMessages:
    """One business number with its templates (rows of the Graph API), and people who wrote lately."""

    def __init__(
        self, number_id, digits, templates, writers, *, mode="LIVE", status="CONNECTED", marketing=True
    ):
        self.number_id, self.digits, self.writers = number_id, digits, writers
        self.templates = {(row["name"], row["language"]): row for row in templates}
        self.mode, self.status, self.marketing = mode, status, marketing

    def code(self, path_id, body):
        """The code of the error that Meta answers, or None for 200."""
        try:
            self._take(path_id, body)
        except Refused as refused:
            return refused.args[0]
        return None

    def _take(self, path_id, body):
        if path_id != self.number_id:
            raise Refused(100)  # Unsupported post request, subcode 33
        if body.get("messaging_product") != "whatsapp":
            raise Refused(100)
        if body.get("status") == "read":
            return
        self._envelope(body)
        if self.status in ("PENDING", "DISCONNECTED", "UNVERIFIED"):
            raise Refused(133010)
        kind = body.get("type", "text")
        if kind == "template":
            self._template(body)
            return
        getattr(self, f"_{kind}", lambda _: None)(body[kind])
        if kind in MEDIA and not body[kind].get("id") and not body[kind].get("link"):
            raise Refused(100)
        if str(body["to"] if "to" in body else body["recipient"]).lstrip("+") not in self.writers:
            raise Refused(131047)

    def _envelope(self, body):
        to = body.get("to")
        if not to and not body.get("recipient"):
            raise Refused(100)  # The parameter to is required.
        if to:
            if USER_ID.fullmatch(to) or to.startswith("00") or "," in to:
                raise Refused(100)
            if re.sub(r"\D", "", to) == self.digits:
                raise Refused(131021)
        kind = body.get("type", "text")
        if kind not in TYPES or not body.get(kind):
            raise Refused(100)

    def _text(self, text):
        if not isinstance(text.get("body"), str) or not 1 <= len(text["body"]) <= 4096:
            raise Refused(100)

    def _location(self, place):
        if "latitude" not in place or "longitude" not in place:
            raise Refused(100)

    def _reaction(self, reaction):
        if "message_id" not in reaction:
            raise Refused(100)

    def _interactive(self, content):
        if "type" not in content or "action" not in content:
            raise Refused(100)
        action = content["action"]
        if len(content.get("footer", {}).get("text", "")) > 60:
            raise Refused(131009)
        if content["type"] == "button":
            titles = [button["reply"]["title"] for button in action["buttons"]]
            if (
                not all(1 <= len(title) <= 20 for title in titles)
                or len(set(titles)) < len(titles)
                or len(titles) > 3
            ):
                raise Refused(131009)
        if content["type"] == "list":
            rows = [row for section in action["sections"] for row in section["rows"]]
            if len(rows) > 10 or any(len(row["title"]) > 24 for row in rows) or len(action["button"]) > 20:
                raise Refused(131009)
        if content["type"] == "cta_url" and "id" in content.get("header", {}).get("image", {}):
            raise Refused(131008)  # header image must contain link.

    def _template(self, body):
        sent = body["template"]
        if not sent.get("name") or not sent.get("language", {}).get("code"):
            raise Refused(100)
        if sent["name"] == "hello_world" and self.mode == "LIVE":
            raise Refused(131058)
        row = self.templates.get((sent["name"], sent["language"]["code"]))
        if row is None or row["status"] not in ("APPROVED", "PAUSED", "DISABLED"):
            raise Refused(132001)
        if row["status"] != "APPROVED":
            raise Refused(132015 if row["status"] == "PAUSED" else 132016)
        if row["category"] == "MARKETING" and not self.marketing:
            raise Refused(131063)
        buttons = [b for c in row["components"] if c["type"] == "BUTTONS" for b in c["buttons"]]
        is_code = row["category"] == "AUTHENTICATION" and any(
            b["type"] in ("OTP", "COPY_CODE") for b in buttons
        )
        if is_code and "to" not in body:
            raise Refused(131062)
        self._parameters(sent.get("components", []), row, buttons)

    def _parameters(self, given, row, buttons):
        parts = {
            part["type"].lower(): part.get("parameters", []) for part in given if part["type"] != "button"
        }
        approved = {part["type"].lower(): part for part in row["components"]}
        for part in given:
            for value in part.get("parameters", []):
                if value["type"] == "text" and not value.get("text"):
                    raise Refused(131008)
                if (
                    value["type"] == "text"
                    and part["type"] != "button"
                    and re.search(r"[\n\t]| {5}", value["text"])
                ):
                    raise Refused(132018)
        for kind in ("header", "body"):
            self._component(parts.get(kind, []), approved.get(kind, {}), row["parameter_format"])
        for place, button in enumerate(buttons):
            needs = button["type"] in ("OTP", "COPY_CODE") or (
                button["type"] == "URL" and "{{" in button["url"]
            )
            if needs and not any(
                part["type"] == "button" and str(part["index"]) == str(place) and part["parameters"]
                for part in given
            ):
                raise Refused(131008)

    def _component(self, values, part, form):
        media = part.get("format", "TEXT")
        if media in ("IMAGE", "VIDEO", "DOCUMENT"):
            if [value["type"].upper() for value in values] != [media]:
                raise Refused(132012)
            return
        wanted = set(VARIABLE.findall(part.get("text", "")))
        if len(values) != len(wanted):
            raise Refused(132000)
        names = [value.get("parameter_name") for value in values]
        if form == "NAMED" and wanted and None in names:
            raise Refused(100)
        if form != "NAMED" and any(names):
            raise Refused(132012)
        filled = len(VARIABLE.sub("", part.get("text", ""))) + sum(
            len(value.get("text", "")) for value in values
        )
        if filled > 1024:
            raise Refused(132005)
