"""Reads phone numbers as people and programs write them: spreadsheets, links, ids of other WhatsApp software.

A reading must be the only one possible. Anything else is refused with its reason, because a wrong reading is another
person: nothing that stands apart is joined, and no digit is invented.
"""

import re
import unicodedata
from urllib.parse import parse_qs, unquote

__all__ = ["MAX_TEXT", "NumberFormatError", "digits_of", "undressed"]

MAX_TEXT = 200
_NOTHING = "neither a phone number with a country code nor a business-scoped user id"
_EXTENSION = "an extension has no WhatsApp account; write the number alone"
_DIGITS_LOST = "a spreadsheet rounded this number, and digits are lost: format the column as text"
_FRACTION = "a number with a fraction: format the column as text"
_NO_NUMBER_IN_LINK = "this link holds no phone number"
_SHORTEST = 7  # digits; fewer are an area code, an extension or the end of a number

_PHONE = re.compile(r"[\s(]*+\+?[\s0-9().-]++")
"""Possessive: the classes overlap, and a text that does not match would take time with the square of its length."""
_NOT_DIGITS = re.compile("[^0-9]+")
_ORDINARY = re.compile(r"(?:\+[0-9 (]|[0-9])[0-9 ()]{6,20}(?:-[0-9 ()]+)*")
"""Has one reading; most numbers are."""
_PLAIN_FRACTION = re.compile(r"(\+?[0-9]+)[.,]([0-9]+)")
_EXPONENT = re.compile(r"(\+?)([0-9])(?:[.,]([0-9]+))?[eE]\+?([0-9]{1,3})")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}(?:[ T].*)?|[0-9]{1,2}([./])[0-9]{1,2}\1(?:19|20)?[0-9]{2}"
)
_FORMULA = re.compile(r'=\s*"([^"]*)"|=(?!=)(.*)', re.DOTALL)
_JID = re.compile(r"([0-9]+)(?:[._][0-9]{1,3})?(?::[0-9]{1,4})?@([a-z.]+)", re.IGNORECASE)
_LINK = re.compile(
    r"(?:https?://)?(?:www\.)?(wa\.me|(?:api|web|chat|www)\.whatsapp\.com)(?:[/?#].*)?", re.IGNORECASE
)
_SCHEME = re.compile(r"(whatsapp|tel|p)((?:;[\w=,-]+)*):(.*)", re.IGNORECASE | re.DOTALL)
_EXTENSION_END = re.compile(r"(?:ext(?:ension|n)?\.?|[x#p,]|;\s*ext=)\s*[0-9]{1,6}", re.IGNORECASE)
_BETWEEN_NUMBERS = re.compile(r"[;,/|&\r\n]|\b(?:or|and|oder|und|ou|et|o|y|e)\b", re.IGNORECASE)
_JID_REFUSALS = {
    "lid": "an id inside WhatsApp, not a phone number",
    "g.us": "a group, not a person",
    "broadcast": "a broadcast list, not a person",
    "newsletter": "a channel, not a person",
}


class NumberFormatError(ValueError):
    """The text has no reading as one phone number or user id; the message says why."""


def digits_of(text: str) -> str:
    """Return the digits of an undressed number; empty if it contains anything except digits and punctuation."""
    return _NOT_DIGITS.sub("", text) if _PHONE.fullmatch(text) else ""


def undressed(text: str) -> str:
    """Return the number, in ASCII digits and punctuation, or the text itself if it may be a user id.

    A number whose dress says that it is international begins with `+`. Raises NumberFormatError.
    """
    if _ORDINARY.fullmatch(text):
        return text
    text = _plain(text)
    if not _PHONE.fullmatch(text):
        text = _from_program(text)
    elif text.startswith("-"):
        raise NumberFormatError("a negative number")
    if "." in text or "," in text or "-" in text or "/" in text or "e" in text.lower():
        text = _from_spreadsheet(text)
    if not _PHONE.fullmatch(text):
        text = _without_slash(text)
    if "\n" in text or "\r" in text or not _PHONE.fullmatch(text):
        _refuse_several(text)
    return text


def _plain(text: str) -> str:
    """Remove what surrounds the text and other forms of its characters."""
    _check_length(text)
    text = _ascii(text).strip()
    if not text[:1].isalnum():
        text = _without_formula(text)
    if "%" in text:
        text = unquote(text).strip()
    if not text:
        raise NumberFormatError("empty")
    return text


def _check_length(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise NumberFormatError(f"longer than {MAX_TEXT} characters")


def _ascii(text: str) -> str:
    """Replace digits and dashes of all scripts by ASCII ones and drop invisible characters."""
    if text.isascii():
        return text
    kinds = set(map(unicodedata.category, text))
    if not kinds.isdisjoint(("No", "Nl")):
        raise NumberFormatError("a raised or circled digit may be a footnote")
    zeros = {ord(each) - unicodedata.decimal(each) for each in text if unicodedata.category(each) == "Nd"}
    if len(zeros) > 1:
        raise NumberFormatError("it mixes digits of two scripts")
    text = unicodedata.normalize("NFKC", text)
    _check_length(text)  # a character may stand for eighteen
    return "".join(map(_ascii_character, text))


def _ascii_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character in "\N{MINUS SIGN}\N{MIDDLE DOT}":
        return "-"
    if character == "\N{ARABIC DECIMAL SEPARATOR}":
        return "."
    return "" if category == "Cf" else character


def _without_formula(text: str) -> str:
    """Remove what makes a spreadsheet show a number as text: `'+49…`, `="+49…"`, `=+49…`; and doubled plus signs."""
    text = text.removeprefix("'").lstrip()
    if formula := _FORMULA.fullmatch(text):
        text = (formula[1] if formula[1] is not None else formula[2]).strip()
    return "+" + text.lstrip("+") if text.startswith("++") else text


def _from_program(text: str) -> str:
    if jid := _JID.fullmatch(text):
        domain = jid[2].lower()
        if domain in ("c.us", "s.whatsapp.net"):
            return "+" + jid[1]
        raise NumberFormatError(_JID_REFUSALS.get(domain, _NOTHING))
    if "@" in text:
        domain = text.rpartition("@")[2].lower()
        raise NumberFormatError(_JID_REFUSALS.get(domain, _NOTHING))
    if _LINK.fullmatch(text) or text.lower().startswith("whatsapp://"):
        return _from_link(text)
    if scheme := _SCHEME.fullmatch(text):
        if ";" in scheme[3]:
            raise NumberFormatError(_EXTENSION if "ext=" in scheme[3].lower() else _NOTHING)
        number = scheme[3].strip()
        is_international = scheme[1].lower() == "whatsapp" and number[:1].isdigit()
        return "+" + number if is_international else number
    return text


def _from_link(text: str) -> str:
    """Return the number of a click-to-chat link. https://faq.whatsapp.com/5913398998672934, November 2026."""
    address, _, query = text.partition("#")[0].partition("?")
    place = re.sub(r"^(?:https?|whatsapp)://(?:www\.)?", "", address, flags=re.IGNORECASE)
    host, _, path = place.partition("/")
    number = ""
    if host.lower() == "wa.me" and path.strip("/") != "send":
        number = unquote(path).strip("/ ")
    elif host.lower() != "chat.whatsapp.com":
        number = (parse_qs(query).get("phone") or [""])[0].strip()
    number = number.lstrip("+ ")
    if not digits_of(number) or len(digits_of(number)) < _SHORTEST:
        raise NumberFormatError(_NO_NUMBER_IN_LINK)
    return "+" + number


def _from_spreadsheet(text: str) -> str:
    """Undo what a spreadsheet did to a number, if all its digits are left."""
    if _DATE.fullmatch(text):
        raise NumberFormatError("a date")
    if found := _EXPONENT.fullmatch(text):
        plus, first, fraction, exponent = found[1], found[2], found[3] or "", int(found[4])
        if len(fraction) < exponent or fraction[exponent:].strip("0") or first == "0":
            raise NumberFormatError(_DIGITS_LOST)
        return plus + first + fraction[:exponent]
    if found := _PLAIN_FRACTION.fullmatch(text):
        whole, fraction = found[1], found[2]
        if len(fraction) <= 2 and not fraction.strip("0") and len(whole) >= _SHORTEST:
            return whole
        if len(fraction) <= 2 or not fraction.strip("0") or "," in text:
            raise NumberFormatError(_FRACTION)
    return text


def _without_slash(text: str) -> str:
    """Remove the slash after an area code, as in 0171/1234567."""
    before, slash, after = text.partition("/")
    is_area = len(digits_of(before).removeprefix("00")) < _SHORTEST and len(digits_of(after)) >= 5
    return f"{before}-{after}" if slash and is_area else text


def _refuse_several(text: str) -> None:
    """Raise NumberFormatError if the text holds more than a number or user id."""
    digits = _NOT_DIGITS.sub("", text)
    if len(digits) < _SHORTEST:
        return
    parts = [part.strip() for part in _BETWEEN_NUMBERS.split(text)]
    numbers = [part for part in parts if len(digits_of(part)) >= _SHORTEST]
    if len(numbers) > 1 or (text.count("+") > 1 and digits_of(text.replace("+", ""))):
        raise NumberFormatError("more than one number: " + ", ".join(numbers or [text]))
    if "/" in text and digits_of(text.replace("/", "")):
        raise NumberFormatError("a slash may separate two numbers; write the number without it")
    for found in _EXTENSION_END.finditer(text):
        if found.end() == len(text) and len(digits_of(text[: found.start()])) >= _SHORTEST:
            raise NumberFormatError(_EXTENSION)
