"""Everything on one machine: Postgres, migrations, web and scheduler, started in order and stopped in reverse.

Without DATABASE_URL the database is embedded and missing secrets are made once and kept in the data folder.
With it (production) nothing is invented.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx
import structlog

from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.settings import Settings, read_settings

log = structlog.get_logger()

EMBEDDED = "postgres"
"""Where in the data folder the embedded database is."""

_STOP_SECONDS = 40  # more than gunicorn's own grace period
SECRETS = ("META_APP_SECRET", "META_VERIFY_TOKEN", "ADMIN_API_KEY")

Environment = dict[str, str]


@dataclass(frozen=True)
class Running:
    """The parts that were started, and how to reach them."""

    settings: Settings
    environment: Environment
    url: str
    processes: dict[str, subprocess.Popen[bytes]]

    def wait(self) -> int:
        """Block until a part ends by itself; returns its exit code, 1 at least."""
        while (code := self.ended()) is None:
            time.sleep(0.2)
        return code

    def ended(self) -> int | None:
        """None while every part runs; else the exit code of one that ended by itself, 1 at least."""
        for name, process in self.processes.items():
            if (code := process.poll()) is not None:
                log.error("a part ended by itself", part=name, exit_code=code)
                return code or 1
        return None


class StopRequestedError(Exception):
    """SIGTERM or Ctrl-C arrived."""


@contextmanager
def everything(
    environment: Mapping[str, str],
    *,
    quiet: bool = False,
    prepare: Callable[[Settings], object] = lambda _settings: None,
) -> Iterator[Running]:
    """Start all parts, wait until the web server answers, and stop them at the end, the database last.

    With `quiet`, what the parts print goes to output.log in the data folder. `prepare` is called when the database is
    there and nothing uses it yet.

    Raises SettingsError before anything is started, RuntimeError when a part cannot or does not come up.
    """
    complete = dict(environment)
    production = bool(complete.get("DATABASE_URL") or complete.get("DATABASE_URL_FILE"))
    with ExitStack() as stack, _signals():
        if not production:
            folder = data_folder(complete)
            if fault := folder_fault(folder):
                raise RuntimeError(fault)
            _make_secrets(folder)
            complete |= kept_secrets(complete)
            given = read_settings(complete | {"DATABASE_URL": "postgresql://"})
            if fault := port_fault(given):  # faults first, before anything starts
                raise RuntimeError(fault)
            database = EmbeddedPostgres(folder / EMBEDDED)
            stack.callback(database.stop)
            complete["DATABASE_URL"] = database.url
        settings = read_settings(complete)
        migrate_database(settings.database_url)
        prepare(settings)
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(_stop, processes)
        output = stack.enter_context((data_folder(complete) / "output.log").open("ab")) if quiet else None
        for name, command in _commands().items():
            processes[name] = subprocess.Popen(  # noqa: S603  our own programs
                command, env=complete, start_new_session=True, stdout=output, stderr=output
            )
        running = Running(settings, complete, f"http://127.0.0.1:{settings.port}", processes)
        _wait_until_ready(running)
        yield running


def folder_fault(folder: Path) -> str:
    """Why the data cannot be kept there; empty when it can. Makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for kept in (folder / "secrets.json", folder / f"{EMBEDDED}.lock"):
            if kept.exists() and not os.access(kept, os.R_OK | os.W_OK):
                return _unusable(folder, f"{kept} belongs to somebody else")
    except OSError as fault:
        return _unusable(folder, str(fault.strerror))
    return ""


def _unusable(folder: Path, why: str) -> str:
    return (
        f"DATA_DIR: {folder.absolute()} cannot be written to ({why}). Was it made by another user, by root perhaps?"
        " Give it to this one (chown -R), or name another folder: DATA_DIR=~/webhook_app_data"
    )


def port_fault(settings: Settings) -> str:
    """Why nothing can listen on the port; empty when it is free."""
    family = socket.AF_INET6 if ":" in settings.bind_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.bind_host, settings.port))
            probe.listen()
        except OSError as fault:
            return (
                f"PORT: {settings.port} on {settings.bind_host} cannot be used ({fault.strerror})."
                f" If something else listens there, name another one: PORT={settings.port % 65535 + 1} make run"
            )
    return ""


def _commands() -> dict[str, list[str]]:
    python = sys.executable
    web = ["gunicorn", "--config", "python:webhook_app.serving", "webhook_app.app:create_app()"]
    return {"web": [python, "-m", *web], "scheduler": [python, "-m", "webhook_app.cli.main", "scheduler"]}


def data_folder(environment: Mapping[str, str]) -> Path:
    """Where the embedded database and the made secrets live."""
    return Path(environment.get("DATA_DIR") or ".data")


def kept_secrets(given: Mapping[str, str]) -> Environment:
    """The secrets that `up` made earlier and that the environment does not give."""
    path = data_folder(given) / "secrets.json"
    kept: Environment = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        name: value for name, value in kept.items() if not given.get(name) and not given.get(f"{name}_FILE")
    }


def _make_secrets(folder: Path) -> None:
    """Make the secrets on the first run; every later one finds them."""
    path = folder / "secrets.json"
    if not path.exists():
        made = {name: secrets.token_urlsafe(24) for name in SECRETS}
        path.touch(mode=0o600)
        path.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _wait_until_ready(running: Running, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for name, process in running.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} did not start; its own words stand above")
        try:
            if httpx.get(f"{running.url}/healthz", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the web server did not answer on {running.url} within {seconds:.0f} s")


def _stop(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """SIGTERM to all, so that requests and jobs in flight finish; SIGKILL to what is left much later."""
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes.values():
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into StopRequestedError; later ones pass, stopping is under way."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signal module's signature
        for each in wanted:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequestedError

    before = {each: signal.signal(each, stop) for each in wanted}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
