"""The table of scenarios: what can go wrong for a sender, as data. `plan.py` plays them."""

from msgspec import Struct

from webhook_app.simulator.faults import BACKGROUND, PROVIDER_DOWN, SimulatedFault
from webhook_app.simulator.send_calls import TOKEN_EXPIRED
from webhook_app.simulator.senders import SEASONAL_OFFER, WIN_BACK, Template


class Phase(Struct, frozen=True):
    """A stretch of a scenario, from `begins` (a share of the duration) until the next one."""

    begins: float
    faults: tuple[SimulatedFault, ...] = BACKGROUND
    paused: Template | None = None
    """Every message of this template fails; Meta tells of the pause when the phase begins."""
    old_list_share: float = 0.0
    """Share of the messages that go to the old list, as one campaign from one business number."""
    held: bool = False
    """Meta keeps what it has to tell until a later phase that is not held, or for good."""
    refused_with: int = 0
    """Meta answers each send call with this error; the sender reports it, and no webhook tells of it. 0: none."""
    calls_reported: bool = False
    """The sender reports the calls that Meta accepted too."""
    pace: float = 1.0
    """Messages in proportion to the usual rate."""
    back_s: int = 0
    """How much older than now the timestamps of the messages of this phase are."""


class Scenario(Struct, frozen=True):
    """A story in phases. Shares are of all messages, or of the people concerned."""

    name: str
    story: str
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
    """On how many days before the start the people with a history could not be reached."""
    hourly: tuple[float, ...] = (1.0,) * 24
    """The rate of each hour of the day (UTC), in proportion to the usual one."""

    @property
    def reports_calls(self) -> bool:
        """Whether the sender has anything to tell the receiver's API."""
        return any(phase.refused_with or phase.calls_reported for phase in self.phases)


OLD_LIST_TEMPLATE = WIN_BACK
_TROUBLE_BEFORE = (SimulatedFault(131000, 0.3), *BACKGROUND)

_TABLE = (
    Scenario("steady", "An ordinary day: about 1 % of messages fail, for mixed reasons."),
    Scenario(
        "bad-list",
        "A campaign goes to an old list: one in four of its contacts is not on WhatsApp any more.",
        phases=(Phase(0.0), Phase(0.15, old_list_share=0.6)),
        old_list=2000,
    ),
    Scenario(
        "template-paused",
        "Meta pauses one template for low quality: each of its messages fails from then on.",
        phases=(Phase(0.0), Phase(0.25, paused=SEASONAL_OFFER)),
    ),
    Scenario(
        "outage",
        "After a healthy start the platform is down: every message fails, whoever it is for.",
        phases=(Phase(0.0), Phase(0.25, faults=PROVIDER_DOWN)),
        audience=300,
        unreachable_share=0.0,
        history_days=(2, 1),  # one strike short: the outage must not bring the third
    ),
    Scenario(
        "token-expired",
        "The access token expires: Meta refuses each send call, and only the sender's reports tell of it.",
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
        "Webhooks stop coming, although messages are sent: the sender reports them.",
        phases=(Phase(0.0), Phase(0.4, held=True, calls_reported=True)),
    ),
    Scenario(
        "backlog",
        "Webhooks pause, then hours of them come at once: old timestamps, and the failures of that time.",
        phases=(
            Phase(0.0),
            Phase(0.3, faults=_TROUBLE_BEFORE, held=True, back_s=3 * 3600),
            Phase(0.6),
        ),
    ),
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _TABLE}
