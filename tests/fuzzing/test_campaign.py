"""The campaign of 10 000 mutations (`make mutations`), a smaller one of each kind, over a real gunicorn."""

import pytest

from tests.faults.web_server import web_server
from tests.fuzzing.campaign import Campaign


@pytest.mark.parametrize(("level", "mutations"), [("items", 300), ("bytes", 200)])
def test_every_mutation_is_answered_its_neighbours_applied_and_the_books_balance(
    database_url, tmp_path, level, mutations
):
    with web_server(database_url, tmp_path) as server:
        campaign = Campaign(server, seed=1, level=level)
        campaign.run(mutations)
    campaign.check(database_url)
    found = campaign.findings
    assert found.faults == []
    assert found.sent == sum(found.answers.values()) == mutations
    assert set(found.answers) <= {200, 413}
    assert found.books["quarantined"] > 20
    assert level == "bytes" or len(found.statuses) > 2 * mutations
