"""The pages in a real browser: Debian's Chromium, driven by Playwright, against the application on loopback.

`business` is one for all tests: what they change there, others may find changed.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from tests.browser.business import open_business
from tests.browser.watching import Watch
from tests.conftest import Database
from webhook_app.app import CLOSE, create_app
from webhook_app.settings import Settings
from webhook_app.store.postgres.engine import make_engine

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = (1280, 900), (380, 800)
ADMIN_KEY = "an operator's key for tests"

Open = Callable[..., Page]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser that is installed; Playwright's own download is never used."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        with closing(opened):
            yield opened


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address of the application, which runs until the block ends."""
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions[CLOSE]()


def settings_for(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        meta_app_secret=(b"an app secret for tests",),
        meta_verify_token="a verify token for tests",
        admin_api_key=ADMIN_KEY,
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; Debian's package is called chromium")
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def business(browser: Browser, server_url: str, template: str) -> Iterator[str]:
    """The address of a business with an incident."""
    database = Database(server_url, template)
    settings = settings_for(database.url)
    engine = make_engine(database.url, application="tests", pool_size=0)
    open_business(settings, engine, datetime.now(UTC).replace(microsecond=0), rate=0.1, history_hours=1)
    engine.dispose()
    with served(settings) as address:
        yield address
    database.drop()


@pytest.fixture
def empty(browser: Browser, database_url: str) -> Iterator[str]:
    """The address of the application before its first webhook."""
    with served(settings_for(database_url)) as address:
        yield address


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What goes wrong beside the page: at the end of the test there was nothing."""
    held = Watch()
    yield held
    assert held.faults == []


@pytest.fixture
def open_browser(browser: Browser, watch: Watch) -> Iterator[Open]:
    """Opens a browser of its own at an address, not signed in; by keyword with the options of a Playwright context."""
    contexts: list[BrowserContext] = []

    def opened(address: str, **options: Any) -> Page:
        size = dict(zip(("width", "height"), options.pop("size", WIDE), strict=True))
        context = browser.new_context(base_url=address, viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        watch.over(page, address)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def sign_in(open_browser: Open) -> Open:
    """Open a page signed in: as the operator, unless `key` is given."""

    def signed_in(address: str, key: str = ADMIN_KEY, **options: Any) -> Page:
        page = open_browser(address, **options)
        page.goto("/login")
        enter(page, key)
        return page

    return signed_in


def enter(page: Page, key: str) -> None:
    """Sign in on the form that is shown."""
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
