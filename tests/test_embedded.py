"""The embedded database: starts whatever its folder is called, survives leftovers, and is stopped by its last user."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from webhook_app.embedded import EmbeddedPostgres, StartupError


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path outside the test's own folders, which the database's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_embedded_", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def answers(server: EmbeddedPostgres) -> bool:
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["a folder of 50 % & 'quotes', $HOME", "long" * 30], ids=["odd", "long"])
def test_the_path_may_be_odd_or_long(folder: Path, name: str) -> None:
    lines: list[str] = []
    server = EmbeddedPostgres(folder / name / "postgres", lines.append)
    try:
        assert answers(server)
        assert lines == ["Creating the database …", "Starting PostgreSQL …"]
    finally:
        server.stop()
    assert server.pid is None


def test_it_goes_on_while_another_process_uses_it_and_that_one_stops_it(folder: Path) -> None:
    first = EmbeddedPostgres(folder / "postgres")
    script = f"""
from pathlib import Path
from webhook_app.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path({str(folder / "postgres")!r}))
print("using", flush=True)
input()
server.stop()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"using\n"
        first.stop()
        assert first.pid is not None
        assert answers(first)
        other.communicate(b"\n", timeout=60)
    assert other.returncode == 0
    assert first.pid is None


def test_a_command_stops_only_what_it_started(folder: Path) -> None:
    service = EmbeddedPostgres(folder / "postgres")
    command = EmbeddedPostgres(folder / "postgres")
    command.close()
    assert answers(service)
    service.stop()
    command = EmbeddedPostgres(folder / "postgres")
    command.close()
    assert command.pid is None


def test_a_number_that_now_belongs_to_another_process_does_not_keep_it_from_starting(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres")
    lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    server.stop()
    (folder / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    again = EmbeddedPostgres(folder / "postgres")
    assert answers(again)
    again.stop()


def test_a_server_that_does_not_start_says_why(folder: Path) -> None:
    EmbeddedPostgres(folder / "postgres").stop()
    with (folder / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(StartupError, match=r"PostgreSQL did not start(.|\n)*no_such_setting"):
        EmbeddedPostgres(folder / "postgres")


def test_a_file_in_place_of_the_folder_is_named(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(StartupError, match="expecting version 18 but found version 12"):
        EmbeddedPostgres(folder / "postgres")
