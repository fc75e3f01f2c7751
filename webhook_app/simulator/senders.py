"""The simulated business: its numbers, templates and campaigns. Values only; the ids belong to nobody."""

from msgspec import Struct


class BusinessNumber(Struct, frozen=True):
    """A number that sends, and how it labels its messages: `callback` is 'json' or 'pairs'."""

    waba_id: str
    phone_number_id: str
    display: str
    callback: str


class Template(Struct, frozen=True):
    """What is sent. A reply inside the service window has no name and no id."""

    name: str
    category: str
    campaign: str
    template_id: int = 0
    language: str = "en_US"


NUMBERS = (
    BusinessNumber("384610027715590", "590238114470021", "13125550199", "json"),
    BusinessNumber("384610027715590", "590238114470077", "13125550142", "json"),
    BusinessNumber("384610027715591", "590238114470103", "447700900999", "pairs"),
)

SEASONAL_OFFER = Template("seasonal_offer", "marketing", "autumn", 918273645501928)
WIN_BACK = Template("we_miss_you", "marketing", "win-back", 918273645501944)
ORDER_UPDATE = Template("order_update", "utility", "orders", 918273645501931)
LOGIN_CODE = Template("login_code", "authentication", "logins", 918273645501936)
REPLY = Template("", "service", "support")

EVERYDAY: tuple[tuple[Template, int], ...] = (
    (SEASONAL_OFFER, 35),
    (ORDER_UPDATE, 40),
    (LOGIN_CODE, 15),
    (REPLY, 10),
)
"""What the business sends on an ordinary day, with weights."""
