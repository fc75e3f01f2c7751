"""A signed-in browser, which sends forms as their page has them."""

import pytest

from tests.web.conftest import ADMIN_KEY, sign_in, token_of

PAGES = (
    *("/", "/incidents", "/alerts", "/?hours=24", "/failures", "/codes", "/codes/131026", "/contacts"),
    *("/billing", "/suppressions", "/suppressions/review", "/suppressions/import", "/suppressions/changes"),
)
"""Pages that every signed-in user can read."""
HOSTILE = '<script>alert("hostile")</script>'


class Browser:
    """`see` reads a page, `submit` sends a form with the token of the page it is on, and reads where that leads."""

    def __init__(self, client):
        self.client = client

    def see(self, path, status=200, **query):
        response = self.client.get(path, query_string=query or None)
        assert response.status_code == status, response.text
        return response.text

    def submit(self, page, path, status=303, **form):
        token = token_of(self.client.get(page))
        response = self.client.post(path, data={"token": token} | form)
        assert response.status_code == status, response.text
        return self.see(response.location) if status == 303 else response.text


@pytest.fixture
def admin_browser(client):
    assert sign_in(client, ADMIN_KEY).status_code == 303
    return Browser(client)


@pytest.fixture
def viewer_browser(app, keys):
    client = app.test_client()
    assert sign_in(client, keys["viewer"]).status_code == 303
    return Browser(client)


def main_of(page):
    """The page from its main part on."""
    return page[page.index("<main") :]
