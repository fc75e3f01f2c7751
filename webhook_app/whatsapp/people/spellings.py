"""Spellings of one phone line in countries that changed their numbers or where Meta and people write them differently.

A *fold* is certain: all spellings get one key. A *hint* is likely only: it can add a suppression to a check, and never
lifts or erases anything. Every rule gives one line one partner, so two lines never share a key. Digits only, country
code first. Facts of November 2026; numbers in square brackets say when the country changed.
"""

from collections.abc import Callable

__all__ = ["FOLDS", "hints", "old_spelling"]

_IVORIAN = {
    # [2021-01-31] Old first two digits → prefix. Two public tables agree: aurellemeless/cipnn and a handler of Cloud
    # API webhooks that receives 225 and 8 digits in `from`. A first pair that no table has is not folded.
    pair: prefix
    for prefix, pairs in (
        ("01", "01 02 03 40 41 42 43 50 51 52 53 60 61 62 63 70 71 72 73 80 81 82 83 90 91 92 93"),
        ("05", "04 05 06 44 45 46 54 55 56 64 65 66 74 75 76 84 85 86 94 95 96"),
        ("07", "07 08 09 47 48 49 57 58 59 67 68 69 77 78 79 87 88 89 97 98 99"),
    )
    for pair in pairs.split()
}
_IVORIAN_FIXED = {"0": "25", "8": "21"}  # by the third digit of a number that begins with 2 or 3; others: 27


def _fold_brazil(digits: str) -> str:
    # [2012 to 2016] Mobile numbers got a ninth digit; accounts from before keep eight, in any area. Landlines begin
    # with 2 to 5 and did not change. Both forms are seen in webhooks (docs.360dialog.com, wwebjs/whatsapp-web.js#596).
    is_old_mobile = len(digits) == 12 and digits[2] != "0" and digits[4] in "6789"
    return digits[:4] + "9" + digits[4:] if is_old_mobile else digits


def _fold_argentina(digits: str) -> str:
    # Webhooks carry 54 9 …; senders often omit the 9 (chatwoot#13932). The key has the 9 and can be dialled. Landlines
    # get the 9 too: they share the numbering space, so two subscribers never get the same key.
    return "549" + digits[2:] if len(digits) == 12 and digits[2] in "123" else digits


def _fold_mexico(digits: str) -> str:
    # [2019] The mobile prefix 1 was abolished; accounts from before are reported as 521… (chatwoot#14048).
    is_old_mobile = len(digits) == 13 and digits[2] == "1" and digits[3] in "23456789"
    return "52" + digits[3:] if is_old_mobile else digits


def _fold_ivory_coast_or_benin(digits: str) -> str:
    # Accounts from before keep 8 digits after the country code (devlikeapro/waha#1894).
    if len(digits) != 11:
        return digits
    if digits[:3] == "225":
        pair = digits[3:5]
        prefix = _IVORIAN_FIXED.get(digits[5], "27") if pair[0] in "23" else _IVORIAN.get(pair)
        return f"225{prefix}{digits[3:]}" if prefix else digits
    # [2024-11-30] Benin: 01 precedes the former 8 digits, none of which began with 0 or 1 (mobi/telephone_number#138).
    return f"22901{digits[3:]}" if digits[:3] == "229" and digits[3] in "23456789" else digits


def _fold_exit_code(digits: str) -> str:
    # 00 precedes a country code when dialling abroad; no country code begins with 0.
    digits = digits.lstrip("0")
    fold = FOLDS.get(digits[:2])
    return fold(digits) if fold else digits


FOLDS: dict[str, Callable[[str], str]] = {
    "0": _fold_exit_code,
    "00": _fold_exit_code,
    "22": _fold_ivory_coast_or_benin,
    "52": _fold_mexico,
    "54": _fold_argentina,
    "55": _fold_brazil,
}
"""Functions from any spelling to the key, by the first two digits. A key is its own fold."""

_UNFOLDS: dict[str, Callable[[str], str]] = {
    "22": lambda key: key[:3] + key[5:],
    "52": lambda key: "521" + key[2:],
    "54": lambda key: "54" + key[3:],
    "55": lambda key: key[:4] + key[5:],
}


def old_spelling(key: str) -> str:
    """Return the other spelling that has this key; empty if there is none."""
    unfold = _UNFOLDS.get(key[:2])
    other = unfold(key) if unfold else key
    return other if other != key and FOLDS[key[:2]](other) == key else ""


def hints(key: str) -> tuple[str, ...]:
    """Return the keys that may be the same line as this one, by renumberings of which no webhook is known."""
    find = _HINTS.get(key[:2])
    other = find(key) if find else ""
    return (other,) if other else ()


_GABON = {"01": "11", "02": "62", "05": "65", "06": "66", "04": "74", "07": "77"}  # [2019-11-15] rfi.fr
_VIETNAM = {  # [2018-09-15] 10 digits → 9; sggpnews.org.vn 76279
    "120": "70",
    "121": "79",
    "122": "77",
    "126": "76",
    "128": "78",
    "123": "83",
    "124": "84",
    "125": "85",
    "127": "81",
    "129": "82",
    **{f"16{digit}": f"3{digit}" for digit in "23456789"},
    "186": "56",
    "188": "58",
    "199": "59",
}
_KOSOVO = {"37744": "38344", "37745": "38345", "38643": "38343", "38649": "38349"}  # [2016 to 2019] Wikipedia
_PALESTINE = {f"970{prefix}": f"972{prefix}" for prefix in ("56", "59")}  # both always reach the line


def _both_ways(table: dict[str, str]) -> dict[str, str]:
    return table | {new: old for old, new in table.items()}


_GABON_BOTH, _KOSOVO_BOTH, _PALESTINE_BOTH = map(_both_ways, (_GABON, _KOSOVO, _PALESTINE))
_VIETNAM_OLD = {new: old for old, new in _VIETNAM.items()}


def _hint_gabon(key: str) -> str:
    other = _GABON_BOTH.get(key[3:5]) if key[:3] == "241" and len(key) == 11 else None
    return f"241{other}{key[5:]}" if other else ""


def _hint_cameroon(key: str) -> str:
    # [2014-11-21] Mobile numbers got a 6 in front (guardianpostonline.blogspot.com).
    if key[:3] != "237":
        return ""
    if len(key) == 11:
        return f"2376{key[3:]}" if key[3] in "56789" else ""
    return f"237{key[4:]}" if len(key) == 12 and key[3] == "6" and key[4] in "56789" else ""


def _hint_vietnam(key: str) -> str:
    if len(key) == 12:
        new = _VIETNAM.get(key[2:5])
        return f"84{new}{key[5:]}" if new else ""
    old = _VIETNAM_OLD.get(key[2:4]) if len(key) == 11 else None
    return f"84{old}{key[4:]}" if old else ""


def _hint_kosovo(key: str) -> str:
    other = _KOSOVO_BOTH.get(key[:5]) if len(key) == 11 else None
    return other + key[5:] if other else ""


def _hint_palestine(key: str) -> str:
    other = _PALESTINE_BOTH.get(key[:5]) if len(key) == 12 else None
    return other + key[5:] if other else ""


_HINTS: dict[str, Callable[[str], str]] = {
    "23": _hint_cameroon,
    "24": _hint_gabon,
    "37": _hint_kosovo,
    "38": _hint_kosovo,
    "84": _hint_vietnam,
    "97": _hint_palestine,
}
