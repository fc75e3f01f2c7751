"""The table of scenarios: what can go wrong for a sender, as data. `plan.py` turns a scenario into events."""

from msgspec import Struct

from webhook_app.simulator.faults import BACKGROUND, PROVIDER_DOWN, SimulatedFault
from webhook_app.simulator.messages import SEASONAL_OFFER, WIN_BACK, Template
from webhook_app.simulator.send_calls import TOKEN_EXPIRED


class Phase(Struct, frozen=True):
    """A part of a scenario, from `starts_at` (a share of the duration) until the next phase."""

    starts_at: float
    faults: tuple[SimulatedFault, ...] = BACKGROUND
    paused_template: Template | None = None
    """Every message of this template fails. Meta reports the pause when the phase starts."""
    old_list_share: float = 0.0
    """Share of the messages that go to the old list, as one campaign from one business number."""
    webhooks_held: bool = False
    """Meta sends no webhooks in this phase. It sends them in the next phase without this flag, if there is one."""
    refused_with: int = 0
    """Meta refuses each send call with this error. The sender reports it; no webhook does. 0: no refusal."""
    calls_reported: bool = False
    """The sender also reports the calls that Meta accepted."""
    rate_factor: float = 1.0
    """Messages in proportion to the usual rate."""
    age_s: int = 0
    """Seconds by which the timestamps of this phase's messages lie in the past."""


class Scenario(Struct, frozen=True):
    """A named sequence of phases. Shares are of all messages or of the people concerned."""

    name: str
    description: str
    phases: tuple[Phase, ...] = (Phase(0.0),)
    audience: int = 2000
    unreachable_share: float = 0.003
    old_list: int = 0
    old_list_unreachable_share: float = 0.25
    replies_share: float = 0.02
    """Of those who read a message."""
    opt_outs_share: float = 0.0
    """Of those who read a message."""
    history_days: tuple[int, ...] = (3, 2, 1)
    """Days before the start on which messages to the people with a history failed."""
    hourly: tuple[float, ...] = (1.0,) * 24
    """Rate in each hour of the day (UTC), in proportion to the usual one."""

    @property
    def reports_calls(self) -> bool:
        """Whether the sender reports any send call to the receiver's API."""
        return any(phase.refused_with or phase.calls_reported for phase in self.phases)


OLD_LIST_TEMPLATE = WIN_BACK
_TROUBLE_BEFORE = (SimulatedFault(131000, 0.3), *BACKGROUND)

_TABLE = (
    Scenario("steady", "An ordinary day: about 1 % of messages fail, for mixed reasons."),
    Scenario(
        "bad-list",
        "A campaign goes to an old list: one in four of its contacts is no longer on WhatsApp.",
        phases=(Phase(0.0), Phase(0.15, old_list_share=0.6)),
        old_list=2000,
    ),
    Scenario(
        "template-paused",
        "Meta pauses one template for low quality: each of its messages then fails.",
        phases=(Phase(0.0), Phase(0.25, paused_template=SEASONAL_OFFER)),
    ),
    Scenario(
        "outage",
        "After a healthy start the platform is down: every message fails.",
        phases=(Phase(0.0), Phase(0.25, faults=PROVIDER_DOWN)),
        audience=300,
        unreachable_share=0.0,
        history_days=(2, 1),  # one failure fewer than a suppression needs: the outage must not add the third
    ),
    Scenario(
        "token-expired",
        "The access token expires: Meta refuses each send call, and only the sender's reports show it.",
        phases=(Phase(0.0), Phase(0.25, refused_with=TOKEN_EXPIRED)),
    ),
    Scenario(
        "opt-outs",
        "People stop marketing in WhatsApp or write STOP; some come back.",
        replies_share=0.05,
        opt_outs_share=0.10,
    ),
    Scenario(
        "silence",
        "Webhooks stop although the sender still sends and reports messages.",
        phases=(Phase(0.0), Phase(0.4, webhooks_held=True, calls_reported=True)),
    ),
    Scenario(
        "backlog",
        "Webhooks pause, then hours of them arrive at once, with old timestamps and failures.",
        phases=(
            Phase(0.0),
            Phase(0.3, faults=_TROUBLE_BEFORE, webhooks_held=True, age_s=3 * 3600),
            Phase(0.6),
        ),
    ),
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _TABLE}
