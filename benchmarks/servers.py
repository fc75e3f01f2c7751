"""The servers to measure, and how each is started, stopped and counted."""

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECRET = b"benchmark-secret"
WORKERS = 2
START_SECONDS = 30.0

SERVICE_GUNICORN = ("gunicorn", "--config", "python:webhook_app.serving")


@dataclass(frozen=True)
class Server:
    """One implementation of the receiver. `stored` counts its status rows; empty if it stores none."""

    name: str
    label: str
    command: tuple[str, ...]
    """Arguments to `python -m`; {port} is filled in."""
    prepare: tuple[str, ...] = ()
    stored: str = ""
    measured: tuple[int, ...] = (1, 100)
    """Statuses per POST."""
    root: Path = ROOT
    """The checked-out project that it runs from."""


SERVICE = Server(
    name="webhook_app",
    label=f"webhook_app: Flask, gevent x{WORKERS}, group commit, counts, archive",
    command=(*SERVICE_GUNICORN, "webhook_app.app:create_app()"),
    prepare=("webhook_app.cli.main", "migrate"),
    stored="SELECT count(*) FROM status_events",
    measured=(1, 10, 100, 1000),
)
EMPTY = Server(
    name="empty",
    label=f"empty Flask handler, gunicorn's own gevent worker x{WORKERS}",
    command=(
        *("gunicorn", "--worker-class", "gevent", "--workers", str(WORKERS), "--keep-alive", "75"),
        *("--bind", "127.0.0.1:{port}", "--log-level", "warning", "benchmarks.peers.empty_flask:app"),
    ),
    measured=(1,),
)
UVICORN = (
    *("uvicorn", "--workers", str(WORKERS), "--loop", "uvloop", "--http", "httptools"),
    *("--no-access-log", "--log-level", "warning", "--host", "127.0.0.1", "--port", "{port}"),
)
FASTAPI = Server(
    name="fastapi",
    label=f"FastAPI + asyncpg, uvicorn x{WORKERS}, executemany, no counts",
    command=(*UVICORN, "benchmarks.peers.fastapi_asyncpg:app"),
    prepare=("benchmarks.peers.fastapi_asyncpg",),
    stored="SELECT count(*) FROM statuses",
)
FASTAPI_EACH = Server(
    name="fastapi_each",
    label=f"FastAPI + asyncpg, uvicorn x{WORKERS}, one INSERT per status, no counts",
    command=(*UVICORN, "benchmarks.peers.fastapi_each:app"),
    prepare=("benchmarks.peers.fastapi_asyncpg",),
    stored="SELECT count(*) FROM statuses",
    measured=(100,),
)
FASTAPI_TOGETHER = Server(
    name="fastapi_together",
    label=f"FastAPI + asyncpg, uvicorn x{WORKERS}, one INSERT per status in one transaction, no counts",
    command=(*UVICORN, "benchmarks.peers.fastapi_each:app_in_one_transaction"),
    prepare=("benchmarks.peers.fastapi_asyncpg",),
    stored="SELECT count(*) FROM statuses",
    measured=(100,),
)
FLASK_ORM = Server(
    name="flask_orm",
    label="Flask + SQLAlchemy ORM, 5 sync workers, select, insert, commit",
    command=(
        *("gunicorn", "--workers", "5", "--bind", "127.0.0.1:{port}", "--log-level", "warning"),
        "benchmarks.peers.flask_orm:app",
    ),
    prepare=("benchmarks.peers.flask_orm",),
    stored="SELECT count(*) FROM statuses",
    measured=(1,),
)
SERVERS = (EMPTY, SERVICE, FASTAPI, FASTAPI_EACH, FASTAPI_TOGETHER, FLASK_ORM)


BEFORE = "before"


@contextmanager
def earlier_service(commit: str) -> Iterator[Server]:
    """The service as of this commit, checked out into a temporary folder. Raises CalledProcessError if git has none."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_before_") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield replace(SERVICE, name=BEFORE, label=f"webhook_app as of {commit}", root=Path(folder))


def prepare(server: Server, environment: dict[str, str]) -> None:
    """Create the server's tables in its fresh database."""
    if server.prepare:
        subprocess.run(
            [sys.executable, "-m", *server.prepare],
            cwd=server.root,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def environment(database_url: str, port: int, folder: Path) -> dict[str, str]:
    """Return the environment of every server, without the caller's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return kept | {
        "DATABASE_URL": database_url,
        "META_APP_SECRET": SECRET.decode(),
        "META_VERIFY_TOKEN": "the verify token of the benchmark",
        "ADMIN_API_KEY": "benchmark-admin-key",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": str(WORKERS),
        "DATA_DIR": str(folder),
    }


@contextmanager
def running(server: Server, environment: dict[str, str], log: Path) -> Iterator[int]:
    """Start the server in its own process group, wait until it answers, and stop the group at the end.

    Yields the id of its first process.
    """
    port = int(environment["PORT"])
    command = [sys.executable, "-m", *(part.format(port=port) for part in server.command)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=server.root, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_ready(process, port, log)
        yield process.pid
    finally:
        _stop(process)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    tail = log.read_text(errors="replace")[-4000:]
    raise RuntimeError(f"the server did not start ({' '.join(map(str, process.args))}):\n{tail}")  # type: ignore[arg-type]


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
