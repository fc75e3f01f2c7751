"""What Meta says about the price of a message: whether it is billable, the pricing model and type, as one small number.

Meta announced that `billable` will be removed; without it, the type says whether a message is billable. Greater numbers
say more: a billable message is above a free one, which is above one without a price.
"""

from typing import Any, Literal, NamedTuple

Billing = Literal["", "free", "billable"]

BILLINGS: tuple[Billing, ...] = ("", "free", "billable")
_OTHER = "other"
_MODELS = ("", _OTHER, "CBP", "PMP")
_TYPES = (
    *("", _OTHER, "free_entry_point", "free_group_customer_service", "free_customer_service"),
    "regular",
)
_ALL_MODELS, _ALL_TYPES = 8, 32  # of each that a number can tell apart
OF_BILLING = _ALL_MODELS * _ALL_TYPES
"""Numbers of one billing: number // OF_BILLING is its place in BILLINGS."""


class Pricing(NamedTuple):
    """billing: '' if not stated. model: PMP (per message) or CBP (per conversation). A word not known is `other`."""

    billing: Billing
    model: str
    type: str


def pricing_number(billable: Any, model: Any, kind: Any) -> int:
    """Return the number of the fields `billable`, `pricing_model` and `type` of a status; 0 if none is stated."""
    try:
        return _NUMBERS[billable, model, kind]
    except (KeyError, TypeError):
        billable = billable if type(billable) is bool else None
        return _NUMBERS[billable, _known(model, _MODELS), _known(kind, _TYPES)]


def pricing_of(number: int) -> Pricing:
    """Return what the number stands for."""
    billing, rest = divmod(number, OF_BILLING)
    model, kind = divmod(rest, _ALL_TYPES)
    return Pricing(BILLINGS[billing], _MODELS[model], _TYPES[kind])


def _known(value: Any, words: tuple[str, ...]) -> str | None:
    if value is None:
        return None
    return value if type(value) is str and value in words else _OTHER


def _number(billable: bool | None, model: str | None, kind: str | None) -> int:
    if billable is None and kind:
        billable = True if kind == "regular" else False if kind.startswith("free_") else None
    billing = 0 if billable is None else 1 + billable
    return (billing * _ALL_MODELS + _MODELS.index(model or "")) * _ALL_TYPES + _TYPES.index(kind or "")


_NUMBERS = {
    (billable, model, kind): _number(billable, model, kind)
    for billable in (None, False, True)
    for model in (None, *_MODELS)
    for kind in (None, *_TYPES)
}
