"""The primary is killed under load and its synchronous standby takes over: what was acknowledged is there, once."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.senders import Sender, kill_all
from tests.faults.web_server import web_server
from tests.support.waiting import wait_for
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database


class Standby:
    """A copy of a server that follows it, until it is promoted."""

    def __init__(self, primary: EmbeddedPostgres, folder: Path) -> None:
        self._wheel = primary._server
        self._folder = folder
        folder.mkdir(mode=0o700)
        if self._wheel.system_user is not None:
            shutil.chown(folder, self._wheel.system_user)
        host = primary.url.partition("host=")[2]
        self._run(
            "pg_basebackup", "--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf",
            f"--host={host}", "--username=postgres", f"--pgdata={folder}",
        )  # fmt: skip
        (folder / ".s.PGSQL.5432.lock").unlink()  # copied with the primary's files
        self._ctl("-w", "-l", str(folder / "log"), "-o", f"-h '' -k {folder}", "start")
        self.url = f"postgresql://postgres:@/postgres?host={folder}"

    def promote(self) -> None:
        self._ctl("-w", "promote")

    def stop(self) -> None:
        self._ctl("-w", "-m", "immediate", "stop")

    def _ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._folder), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._wheel.bin_path / program), *arguments]
        subprocess.run(
            command, check=True, user=self._wheel.system_user, cwd="/", stdout=subprocess.DEVNULL, timeout=60
        )


@pytest.fixture
def pair() -> Iterator[tuple[EmbeddedPostgres, Standby]]:
    """A primary that answers a commit when its standby has it, too."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_failover_", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        place.chmod(0o755)
        primary = EmbeddedPostgres(place / "primary")
        migrate_database(primary.url)
        standby = Standby(primary, place / "standby")
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_for(lambda: (connection.execute(follows).fetchone() or [0])[0] == 1)
        yield primary, standby
        standby.stop()
        primary.stop()


def test_nothing_acknowledged_is_lost_when_the_standby_takes_over(pair, tmp_path):
    primary, standby = pair
    hosts = ",".join(server.url.partition("host=")[2] for server in (primary, standby))
    url = f"postgresql://postgres:@/postgres?host={hosts}&target_session_attrs=read-write"
    with web_server(url, tmp_path, workers=2) as web:
        senders = [Sender(web.port, f"s{number}") for number in range(4)]
        wait_for(lambda: all(len(sender.acknowledged) > 20 for sender in senders))
        kill_all(primary.pid)
        before = [len(sender.acknowledged) for sender in senders]
        time.sleep(0.5)
        standby.promote()
        wait_for(
            lambda: all(
                len(sender.acknowledged) > old + 20 for sender, old in zip(senders, before, strict=True)
            )
        )
        for sender in senders:
            sender.stop()
    acknowledged = {message_id for sender in senders for message_id in sender.acknowledged}
    with psycopg.connect(standby.url) as connection:
        stored = [row[0] for row in connection.execute("SELECT message_id FROM status_events")]
        attempts, *_ = connection.execute("SELECT sum(attempts) FROM minute_counts").fetchone() or (0,)
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored)) == attempts
    assert all(sender.refused for sender in senders), "without a primary nothing was acknowledged"
