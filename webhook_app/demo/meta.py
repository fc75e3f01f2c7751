"""The Graph API of the demo's Meta, on loopback: the accounts as the notices of the week before leave them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from webhook_app.simulator.graph_api.account import APP_ID, TOKEN, SimulatedAccount, example_templates
from webhook_app.simulator.graph_api.graph import SimulatedGraph
from webhook_app.simulator.graph_api.server import graph_server
from webhook_app.simulator.messages import LOGIN_CODE, NUMBERS, ORDER_UPDATE, SEASONAL_OFFER, WIN_BACK

_SENT = (ORDER_UPDATE.name, SEASONAL_OFFER.name, WIN_BACK.name, LOGIN_CODE.name)
_FLAGGED = NUMBERS[-1].phone_number_id
_STATES = {WIN_BACK.name: {"status": "PAUSED", "quality_score": {"score": "RED"}}}


def demo_account(app_secret: str, port: str) -> SimulatedAccount:
    """Return the accounts of all numbers, with the templates that are sent. Webhooks go to the service on this port.

    What webhooks reported as bad is bad here too: otherwise the first reading would end the incidents about it.
    """
    rows = (row | _STATES.get(row["name"], {}) for row in example_templates() if row["name"] in _SENT)
    return SimulatedAccount(
        app_secret=app_secret,
        callback_url=f"http://127.0.0.1:{port}/webhook",
        numbers=NUMBERS,
        low_quality=frozenset((_FLAGGED,)),
        templates=tuple(rows),
    )


@contextmanager
def serve_graph(account: SimulatedAccount) -> Iterator[str]:
    """Serve the Graph API on a free port during the `with` block, and return its address."""
    with graph_server(SimulatedGraph(account), None) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def graph_settings(url: str) -> dict[str, str]:
    """Return the settings with which the service reads the Graph API at this address."""
    return {"GRAPH_API_URL": url, "META_ACCESS_TOKEN": TOKEN, "META_APP_ID": APP_ID}
