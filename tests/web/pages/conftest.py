"""Somebody signed in at a browser, and forms sent as their page has them."""

import pytest

from tests.web.conftest import ADMIN_KEY, sign_in, token_of

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
    """What stands between the frame's head and the page's end."""
    return page[page.index("<main") :]
