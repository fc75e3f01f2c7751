"""The embedded database: starts whatever its folder is called, survives leftovers, and is stopped by its last user."""

import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.support.waiting import wait_for
from webhook_app import embedded
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
def test_the_path_may_be_odd_or_long(folder, name):
    lines: list[str] = []
    server = EmbeddedPostgres(folder / name / "postgres", lines.append)
    try:
        assert answers(server)
        assert lines == ["Creating the database …", "Starting PostgreSQL …"]
    finally:
        server.stop()
    assert server.pid is None


def test_a_first_start_that_is_killed_leaves_nothing_that_keeps_the_next_from_starting(folder):
    script = "import sys, webhook_app.embedded as e; e.EmbeddedPostgres(e.Path(sys.argv[1]))"
    begun = folder / "postgres.new" / "PG_VERSION"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "postgres")], start_new_session=True
    ) as killed:
        wait_for(begun.exists)
        os.killpg(killed.pid, signal.SIGKILL)
    server = EmbeddedPostgres(folder / "postgres")
    try:
        assert answers(server)
        assert not begun.parent.exists()
    finally:
        server.stop()


def test_it_goes_on_while_another_process_uses_it_and_that_one_stops_it(folder):
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


def test_a_command_stops_only_what_it_started(folder):
    service = EmbeddedPostgres(folder / "postgres")
    command = EmbeddedPostgres(folder / "postgres")
    command.close()
    assert answers(service)
    service.stop()
    command = EmbeddedPostgres(folder / "postgres")
    command.close()
    assert command.pid is None


@pytest.mark.parametrize("whose", ["another process", "a killed process that nobody reaped"])
def test_a_number_that_is_no_server_s_does_not_keep_it_from_starting(folder, whose):
    server = EmbeddedPostgres(folder / "postgres")
    lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    server.stop()
    with subprocess.Popen(["true"]) as ended:
        wait_for(lambda: psutil.Process(ended.pid).status() == psutil.STATUS_ZOMBIE)
        number = os.getpid() if whose == "another process" else ended.pid
        (folder / "postgres" / "postmaster.pid").write_text("\n".join([str(number), *lines[1:]]) + "\n")
        again = EmbeddedPostgres(folder / "postgres")
        assert answers(again)
        again.stop()


def test_a_server_that_does_not_start_says_why(folder):
    EmbeddedPostgres(folder / "postgres").stop()
    with (folder / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(StartupError, match=r"PostgreSQL did not start(.|\n)*no_such_setting"):
        EmbeddedPostgres(folder / "postgres")


def test_a_file_in_place_of_the_folder_is_named(folder):
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(StartupError, match="expecting version 18 but found version 12"):
        EmbeddedPostgres(folder / "postgres")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def symlink_to_a_folder(place: Path) -> None:
    (place.parent / "victim").mkdir(mode=0o755)
    place.symlink_to(place.parent / "victim")


def open_folder(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def folder_of_another_user(place: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)


@pytest.mark.parametrize(
    "prepare",
    [
        symlink_to_a_folder,
        open_folder,
        Path.touch,
        pytest.param(
            folder_of_another_user,
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give it away"),
        ),
    ],
)
def test_a_socket_folder_that_another_user_prepared_is_refused_and_not_changed(folder, monkeypatch, prepare):
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    data = folder / ("long" * 30) / "postgres"
    place = folder / f"webhook_app_{hashlib.sha256(bytes(data)).hexdigest()[:12]}"
    prepare(place)
    before = {each: (each.lstat().st_uid, mode(each)) for each in folder.iterdir()}
    with pytest.raises(StartupError, match="the database's socket cannot be put there"):
        EmbeddedPostgres(data)
    assert {each: (each.lstat().st_uid, mode(each)) for each in before} == before


def test_only_the_owner_may_open_the_lock_files_or_list_the_folder(folder):
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "postgres.lock").touch(mode=0o644)
    server = EmbeddedPostgres(folder / "data" / "postgres")
    server.stop()
    assert mode(folder / "data") & 0o066 == 0
    assert {mode(folder / "data" / f"postgres.{ending}") for ending in ("lock", "users")} == {0o600}


@pytest.mark.parametrize("ending", ["lock", "users"])
def test_a_lock_that_another_process_holds_ends_the_start_with_a_message(folder, monkeypatch, ending):
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.2)
    with (folder / f"postgres.{ending}").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StartupError, match=rf"has held the lock on .*postgres\.{ending}"):
            EmbeddedPostgres(folder / "postgres")


def test_a_lock_file_that_is_a_link_is_refused(folder):
    (folder / "postgres.lock").symlink_to(folder / "elsewhere")
    with pytest.raises(StartupError, match=r"postgres\.lock cannot be opened"):
        EmbeddedPostgres(folder / "postgres")
    assert not (folder / "elsewhere").exists()
