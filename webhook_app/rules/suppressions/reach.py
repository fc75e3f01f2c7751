"""Decides to which business numbers a suppression applies. No other module decides it.

A suppression names one business number, or every number of the business that the person spoke to, whichever
of its accounts holds it. What belongs to one business is one installation for now, so `EVERY_NUMBER` has no limit here.
"""

EVERY_NUMBER = ""
"""In place of a business number: the suppression applies to messages from every number of the business."""


def reaches(named: str, number: str | None) -> bool:
    """Whether a suppression that names `named` applies to messages from `number`; None: from any number."""
    return number is None or named in numbers_reaching(number)


def numbers_reaching(number: str) -> tuple[str, str]:
    """What suppressions can name to apply to messages from this number."""
    return EVERY_NUMBER, number
