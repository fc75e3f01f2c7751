"""Messages in Meta's format, right and wrong in each way that a sender can be wrong, from a seed."""

import copy
import random

WRITER, STRANGER, USER = "4915112345678", "4915187654321", "DE.1234567890"
IMAGE = {"type": "image", "image": {"link": "https://shop.example/a.jpg"}}


def template_rows():
    """The templates of the account, as rows of the Graph API."""

    def row(name, *components, language="en_US", status="APPROVED", category="UTILITY", form="POSITIONAL"):
        return {
            "name": name, "language": language, "status": status, "category": category,
            "parameter_format": form, "components": list(components), "quality_score": {"score": "GREEN"},
        }  # fmt: skip

    def body(text):
        return {"type": "BODY", "text": text}

    def buttons(*each):
        return {"type": "BUTTONS", "buttons": list(each)}

    image = {
        "type": "HEADER",
        "format": "IMAGE",
        "example": {"header_handle": ["https://scontent.example/x"]},
    }
    code = {
        "type": "OTP",
        "otp_type": "COPY_CODE",
        "text": "Copy",
        "url": "https://www.whatsapp.com/otp/?code=otp{{1}}",
    }
    rows = [
        row("plain", body("Your order is ready.")),
        row("order", body("Hi {{1}}, order {{2}} is ready, {{1}}.")),
        row("order", body("Hallo {{1}}, Bestellung {{2}} ist fertig."), language="de"),
        row("named", body("Hi {{name}}, order {{no}} is ready."), form="NAMED"),
        row("titled", {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"}, body("It comes on {{1}}.")),
        row("picture", image, body("Look, {{1}}."), category="MARKETING"),
        row("invoice", {"type": "HEADER", "format": "DOCUMENT"}, body("Your invoice.")),
        row("track", body("On its way."), buttons({"type": "QUICK_REPLY", "text": "Stop"},
                                                  {"type": "URL", "text": "Track", "url": "https://a.example/{{1}}"})),
        row("site", body("See our site."), buttons({"type": "URL", "text": "Open", "url": "https://a.example/"})),
        row("coupon", body("Save now."), buttons({"type": "COPY_CODE", "text": "Copy"}), category="MARKETING"),
        row("login", body("*{{1}}* is your verification code."), buttons(code), category="AUTHENTICATION"),
        row("paused", body("Paused."), status="PAUSED"),
        row("disabled", body("Disabled."), status="DISABLED"),
        row("rejected", body("Rejected."), status="REJECTED"),
        row("pending", body("Pending."), status="PENDING"),
        row("hello_world", body("Hello World")),
    ]  # fmt: skip
    return [each | {"id": str(1000 + place)} for place, each in enumerate(rows)]


def message(kind, content, to=WRITER):
    return {"messaging_product": "whatsapp", "to": to, "type": kind, kind: content}


def template(name, *components, language="en_US", to=STRANGER):
    content = {"name": name, "language": {"code": language}}
    return message("template", content | ({"components": list(components)} if components else {}), to)


def texts(kind, *values, **more):
    return {"type": kind, "parameters": [{"type": "text", "text": value, **more} for value in values]}


def named(**values):
    given = [{"type": "text", "parameter_name": name, "text": value} for name, value in values.items()]
    return {"type": "body", "parameters": given}


def button(index, value, sub_type="url"):
    kind = {"copy_code": "coupon_code"}.get(sub_type, "text")
    return {
        "type": "button",
        "sub_type": sub_type,
        "index": index,
        "parameters": [{"type": kind, kind: value}],
    }


def reply_buttons(*titles, footer=""):
    given = [{"type": "reply", "reply": {"id": str(n), "title": title}} for n, title in enumerate(titles)]
    content = {"type": "button", "body": {"text": "Choose"}, "action": {"buttons": given}}
    return content | ({"footer": {"text": footer}} if footer else {})


def list_of(rows, title="Row"):
    given = [{"id": str(n), "title": f"{title} {n}"} for n in range(rows)]
    sections = [{"title": "One", "rows": given[:3]}, {"title": "Two", "rows": given[3:]}]
    return {"type": "list", "body": {"text": "Choose"}, "action": {"button": "Open", "sections": sections}}


def without(body, *path):
    """The message without the value at the end of the path."""
    body = copy.deepcopy(body)
    inner = body
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return body


def link(header):
    action = {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://a.example"}}
    return {"type": "cta_url", "header": header, "body": {"text": "See"}, "action": action}


def generate(seed, count):
    """(what it is, phone_number_id or None for the right one, message) of `count` messages."""
    chance = random.Random(seed)
    ways = [*_free_form(chance), *_recipients(chance), *_templates(chance)]
    found = []
    while len(found) < count:
        ways = [*_free_form(chance), *_recipients(chance), *_templates(chance)]
        chance.shuffle(ways)
        found += ways
    return found[:count]


def _free_form(chance):
    word = "".join(chance.choices("abcdefghij äß😀", k=chance.randint(1, 60))).strip() or "a"
    text = message("text", {"body": word})
    picture = message("image", {"link": "https://shop.example/a.jpg", "caption": word})
    place = message("location", {"latitude": 52.5, "longitude": "13.4", "name": word})
    every = {
        "a text": text,
        "a text without a type": without(text, "type"),
        "the longest text": message("text", {"body": "a" * 4096}),
        "an image": picture,
        "a document by id": message("document", {"id": str(chance.randint(1, 10**15)), "filename": "a.pdf"}),
        "a sticker": message("sticker", {"id": "77"}),
        "a voice message": message("audio", {"id": "77", "voice": True}),
        "a place": place,
        "a contact card": message("contacts", [{"name": {"formatted_name": word, "first_name": word}}]),
        "a reaction": message("reaction", {"message_id": "wamid.A", "emoji": "👍"}),
        "buttons": message("interactive", reply_buttons("Yes", "No", "Later")),
        "a list": message("interactive", list_of(10)),
        "a link": message("interactive", link({"type": "image", "image": {"link": "https://a.example/a.jpg"}})),
        "an unknown key": text | {"message_activity_sharing": True, "context": {"message_id": "wamid.B"}},
        "a receipt": {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.C"},
        "a text to a stranger": message("text", {"body": word}, STRANGER),
        "an image to a stranger": message("image", {"id": "77"}, STRANGER),
        "buttons to a stranger": message("interactive", reply_buttons("Yes"), STRANGER),
        "no product": without(text, "messaging_product"),
        "another product": text | {"messaging_product": "messenger"},
        "no content": without(text, "text"),
        "an unknown type": message("telegram", {"body": word}),
        "an empty text": message("text", {"body": ""}),
        "a text that is a number": message("text", {"body": 7}),
        "too long a text": message("text", {"body": "a" * chance.randint(4097, 9000)}),
        "an image without a file": message("image", {"caption": word}),
        "a place without latitude": without(place, "location", "latitude"),
        "a reaction to nothing": message("reaction", {"emoji": "👍"}),
        "four buttons": message("interactive", reply_buttons("A", "B", "C", "D")),
        "the same button twice": message("interactive", reply_buttons("Yes", "Yes")),
        "a button with a long title": message("interactive", reply_buttons("x" * chance.randint(21, 40))),
        "a button without a title": message("interactive", reply_buttons("Yes", "")),
        "too long a footer": message("interactive", reply_buttons("Yes", footer="x" * 61)),
        "eleven rows": message("interactive", list_of(11)),
        "a row with a long title": message("interactive", list_of(3, "x" * 25)),
        "buttons without an action": message("interactive", without(reply_buttons("Yes"), "action")),
        "a link with an image by id": message("interactive", link({"type": "image", "image": {"id": "7"}})),
    }  # fmt: skip
    return [(name, None, body) for name, body in every.items()]


def _recipients(chance):
    text = message("text", {"body": "Hello"})
    spelled = [f"+{WRITER}", "+49 151 12345678", "+49-151-12345678", "+49 (151) 12345678"]
    every = {
        "another spelling": text | {"to": spelled[0]},
        "no recipient": without(text, "to"),
        "an empty recipient": text | {"to": ""},
        "a number with 00": text | {"to": f"00{WRITER}"},
        "two numbers": text | {"to": f"{WRITER},{STRANGER}"},
        "a user id as to": text | {"to": USER},
        "the business number": text | {"to": "+49 30 1234567"},
        "a template to a user id": without(template("plain"), "to") | {"recipient": USER},
        "a code to a user id": without(template("login", texts("body", "123456"), button(0, "123456")), "to")
        | {"recipient": USER},
        "a template in another spelling": template("plain", to=chance.choice(spelled)),
    }  # fmt: skip
    ids = ["555000100000", "+49301234567", "900100", "12\n"]
    return [(name, None, body) for name, body in every.items()] + [
        (f"the id {each!r}", each, text) for each in ids
    ]


def _templates(chance):
    name, no = chance.choice(["Ana", "Jürgen", "李"]), str(chance.randint(1, 10**6))
    picture = {"type": "header", "parameters": [IMAGE]}
    every = {
        "a template": template("plain"),
        "two values": template("order", texts("body", name, no)),
        "another language": template("order", texts("body", name, no), language="de"),
        "named values": template("named", named(no=no, name=name)),
        "a value in the header": template("titled", texts("header", no), texts("body", "Friday")),
        "an image in the header": template("picture", picture, texts("body", name)),
        "a link with a value": template("track", button("1", no)),
        "a link without a value": template("site"),
        "a coupon": template("coupon", button(0, "SAVE20", "copy_code")),
        "a code": template("login", texts("body", no), button(0, no)),
        "a type in capitals": template("order", texts("BODY", name, no)),
        "one value too few": template("order", texts("body", name)),
        "no values": template("order"),
        "one value too many": template("order", texts("body", name, no, no)),
        "a value for a template without": template("plain", texts("body", name)),
        "a header for a template without": template("order", texts("header", name), texts("body", name, no)),
        "named values without names": template("named", texts("body", name, no)),
        "values with names": template("order", named(a=name, b=no)),
        "no image in the header": template("picture", texts("body", name)),
        "a text for an image": template("picture", texts("header", name), texts("body", name)),
        "an image for a document": template("invoice", picture),
        "no value for the link": template("track"),
        "the value at another button": template("track", button(0, no)),
        "no coupon": template("coupon"),
        "no value for the code button": template("login", texts("body", no)),
        "an empty value": template("order", texts("body", name, "")),
        "an empty value of a link": template("track", button(1, "")),
        "a line break": template("order", texts("body", name, "a\nb")),
        "a tab": template("order", texts("body", "a\tb", no)),
        "five spaces": template("order", texts("body", name, "a     b")),
        "a text that becomes too long": template("order", texts("body", name, "x" * 1024)),
        "a paused template": template("paused"),
        "a disabled template": template("disabled"),
        "a rejected template": template("rejected"),
        "a pending template": template("pending"),
        "an unknown template": template(f"unknown_{no}"),
        "an unknown language": template("order", texts("body", name, no), language="en"),
        "a language in another form": template("plain", language="en-US"),
        "no name": without(template("plain"), "template", "name"),
        "no language": without(template("plain"), "template", "language"),
        "the sample template": template("hello_world"),
        "no template": without(template("plain"), "template"),
    }  # fmt: skip
    return [(what, None, body) for what, body in every.items()]
