"""PgBouncer before the database: a session pooler works, one that shares sessions is refused everywhere."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from webhook_app.cli.main import main
from webhook_app.migrating import MigrationError, migrate_database
from webhook_app.store.postgres.engine import connect, make_engine
from webhook_app.store.postgres.leadership import Leadership
from webhook_app.store.postgres.sessions import sessions_fault
from webhook_app.web.probes import check_readiness

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
Pooler = Callable[..., str]


@pytest.fixture
def pooler(database_url: str, tmp_path: Path) -> Iterator[Pooler]:
    """Starts a PgBouncer in the mode before the test's database; returns the URL through it."""
    given = conninfo_to_dict(database_url)
    folder = Path(str(given["host"]))
    with ExitStack() as stack:

        def start(mode: str, **more: str) -> str:
            with closing(socket.create_server(("127.0.0.1", 0))) as probe:
                port = probe.getsockname()[1]
            settings = {
                "pool_mode": mode, "auth_type": "any", "listen_addr": "127.0.0.1", "listen_port": str(port),
                "unix_socket_dir": "", "default_pool_size": "5",
            } | more  # fmt: skip
            lines = ["[databases]", f"* = host={folder} user={given['user']}", "[pgbouncer]"]
            config = tmp_path / f"{mode}.ini"
            config.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())]))
            below = len(Path(tempfile.gettempdir()).parents) + 1
            for each in (config, *config.parents[: len(config.parents) - below]):
                each.chmod(each.stat().st_mode | 0o055)
            process = subprocess.Popen(
                [str(PGBOUNCER), "-q", str(config)],
                user=folder.owner() if os.geteuid() == 0 else None,  # it refuses to run as root
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
            url = f"postgresql://{given['user']}@127.0.0.1:{port}/{given['dbname']}"
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                assert process.poll() is None
                try:
                    psycopg.connect(url, connect_timeout=5).close()
                except psycopg.OperationalError:
                    time.sleep(0.05)
                else:
                    return url
            pytest.fail("PgBouncer did not answer")

        yield start


def test_two_connections_of_the_server_are_two_sessions(database_url):
    with connect(database_url, application="tests") as one, connect(database_url, application="tests") as two:
        assert sessions_fault(one, two) == ""


@needs_pgbouncer
def test_a_session_pooler_works(pooler, environment):
    url = pooler("session")
    migrate_database(url)
    engine = make_engine(url, application="tests", plans_once=True)
    with engine.connect() as connection:
        names = ("TimeZone", "statement_timeout", "lock_timeout", "jit", "plan_cache_mode")
        found = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in names]
        assert found == ["UTC", "30s", "10s", "off", "force_generic_plan"]
    assert check_readiness(engine, datetime.now(UTC)).ready
    engine.dispose()
    first, second = Leadership(url), Leadership(url)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    second.release()
    done = CliRunner().invoke(main, ["check"], env=environment | {"DATABASE_URL": url})
    assert (done.exit_code, "sessions    ok" in done.output) == (0, True), done.output


@needs_pgbouncer
@pytest.mark.parametrize("more", [{}, {"server_round_robin": "1", "min_pool_size": "4"}])
def test_a_transaction_pooler_is_refused_in_clear_words(pooler, environment, more):
    url = pooler("transaction", **more)
    done = CliRunner().invoke(main, ["check"], env=environment | {"DATABASE_URL": url})
    assert done.exit_code == 1
    assert "sessions    a pooler shares sessions between clients" in done.output
    engine = make_engine(url, application="tests")
    readiness = check_readiness(engine, datetime.now(UTC))
    assert not readiness.ready
    assert "pool_mode=session" in readiness.checks["sessions"].detail
    engine.dispose()
    candidates = [Leadership(url) for _ in range(3)]
    assert [each.acquire() for each in candidates] == [False] * 3
    with pytest.raises(MigrationError, match="a pooler shares sessions"):
        migrate_database(url)


@pytest.fixture
def environment() -> dict[str, str]:
    return {"META_APP_SECRET": "a secret of the tests", "META_VERIFY_TOKEN": "a verify token of the tests"}
