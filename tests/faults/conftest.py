"""One gunicorn with little patience for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.web_server import WebServer, web_server


@pytest.fixture(scope="module")
def server(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    folder: Path = tmp_path_factory.mktemp("gunicorn")
    with web_server(database.url, folder, config="tests.faults.impatient") as running:
        yield running
