"""`make screenshots` ends when it fails, and leaves nothing running."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import CHROMIUM, served, settings_for
from tests.support.folders import ROOT

FAILS = """
import sys
from pathlib import Path
from tests.browser import screenshots

def fail(*_, **__):
    raise RuntimeError("no picture")

screenshots._shoot = fail
screenshots.take(Path(sys.argv[1]))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that Postgres can enter, which runs as another user when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_test_") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_the_server_ends_with_the_block_that_fails(database_url):
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="ours"), served(settings_for(database_url)):
        raise RuntimeError("ours")
    assert not [each for each in threading.enumerate() if each not in before and not each.daemon]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_picture_that_fails_ends_the_command_and_its_database(open_folder):
    done = subprocess.run(
        [sys.executable, "-c", FAILS, str(open_folder / "pictures")],
        check=False, capture_output=True, text=True, timeout=120,
        cwd=ROOT, env=os.environ | {"TMPDIR": str(open_folder)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "RuntimeError: no picture" in done.stderr
    assert not list(open_folder.glob("webhook_app_pictures_*"))
