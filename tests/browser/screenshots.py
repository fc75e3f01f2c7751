"""`make screenshots`: a picture of one page of every kind, light and dark, 1280 and 380 pixels wide, into a folder."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from playwright.sync_api import Browser
from psycopg.conninfo import make_conninfo

from tests.browser.business import open_business
from tests.browser.conftest import ADMIN_KEY, CHROMIUM, chromium, enter, served, settings_for
from tests.browser.crawling import one_of_each_kind
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.store.postgres.engine import make_engine

_SIZES = {1280: 900, 380: 800}
_THEMES = ("light", "dark")
_RATE = 0.3


def take(folder: Path) -> None:
    """Make the pictures, named page-theme-width.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with _databases() as (full, empty), chromium() as browser:
        with served(settings_for(empty)) as address:
            _shoot(browser, address, {"login": "/login"}, folder, signed_in=False)
            _shoot(browser, address, {"first-steps": "/"}, folder)
        settings, engine = settings_for(full), make_engine(full, application="screenshots")
        open_business(
            settings, engine, datetime.now(UTC).replace(microsecond=0), rate=_RATE, history_hours=24
        )
        engine.dispose()
        with served(settings) as address:
            page = browser.new_context(base_url=address).new_page()
            page.goto("/login")
            enter(page, ADMIN_KEY)
            _shoot(browser, address, one_of_each_kind(page), folder)


def _shoot(
    browser: Browser, address: str, pages: dict[str, str], folder: Path, *, signed_in: bool = True
) -> None:
    for theme in _THEMES:
        for width, height in _SIZES.items():
            size = {"width": width, "height": height}
            context = browser.new_context(base_url=address, viewport=size, color_scheme=theme)
            page = context.new_page()
            if signed_in:
                page.goto("/login")
                enter(page, ADMIN_KEY)
            for name, path in pages.items():
                page.goto(path)
                page.wait_for_load_state("networkidle")
                page.screenshot(path=folder / f"{name}-{theme}-{width}.png", full_page=name != "docs")
            context.close()


@contextmanager
def _databases() -> Iterator[list[str]]:
    """Two migrated databases on a server of their own."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_pictures_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE business")
                connection.execute("CREATE DATABASE empty")
            urls = [make_conninfo(server.url, dbname=name) for name in ("business", "empty")]
            for url in urls:
                migrate_database(url)
            yield urls
        finally:
            server.stop()


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit("no Chromium is installed; Debian's package is called chromium")
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
