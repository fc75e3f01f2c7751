"""Everything on one machine: Postgres, migrations, web and scheduler, started in this order and stopped in reverse.

Without DATABASE_URL the database is embedded, and missing secrets are made once and kept in the data folder.
With DATABASE_URL (production) missing secrets are errors.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from types import FrameType

import httpx
import psutil
import structlog

from webhook_app.data_folder import DataFolder, Environment
from webhook_app.embedded import REPORT_SECONDS, EmbeddedPostgres, Report, StartupError
from webhook_app.migrating import migrate_database
from webhook_app.settings import Settings, is_set, read_settings

log = structlog.get_logger()

_STOP_SECONDS = 40  # more than gunicorn's own grace period
_IDLE_SECONDS = 120  # a web server that starts and uses no CPU for so long is stuck


@dataclass(frozen=True)
class Running:
    """The parts that were started, and how to reach them. `made`: the secrets that `up` made itself, by variable."""

    settings: Settings
    environment: Environment
    url: str
    processes: dict[str, subprocess.Popen[bytes]]
    made: Environment
    database_runs: Callable[[], bool] = lambda: True
    """Whether the embedded database runs; another one is not watched."""
    stop_requested: Callable[[], bool] = lambda: False

    def wait(self) -> int:
        """Block until a part ends unexpectedly; returns its exit code, at least 1. Raises StopRequestedError."""
        while (code := self.ended()) is None:
            time.sleep(0.2)
        return code

    def ended(self) -> int | None:
        """None while every part runs; else the exit code of one that ended unexpectedly, at least 1.

        Raises StopRequestedError after a signal whose own exception was lost, for example in a finalizer.
        """
        if self.stop_requested():
            raise StopRequestedError
        for name, process in self.processes.items():
            if (code := process.poll()) is not None:
                log.error("a part ended unexpectedly", part=name, exit_code=code)
                return code or 1
        if not self.database_runs():
            log.error("a part ended unexpectedly", part="database")
            return 1
        return None


class StopRequestedError(BaseException):
    """SIGTERM or Ctrl-C arrived. As KeyboardInterrupt it is no Exception, so that no library handles it as a fault."""


@contextmanager
def everything(
    environment: Mapping[str, str],
    *,
    quiet: bool = False,
    prepare: Callable[[Settings], object] = lambda _settings: None,
    report: Report = lambda _line: None,
) -> Iterator[Running]:
    """Start all parts, wait until the web server answers, and stop them at the end, the database last.

    With `quiet`, the output of the parts goes to output.log in the data folder. `prepare` is called when the database
    is ready and before anything uses it.

    Raises SettingsError before anything is started, StartupError when a part cannot start.
    """
    complete, made = dict(environment), Environment()
    folder = DataFolder(complete)
    with _signals() as stop_requested, ExitStack() as stack:
        is_local = not is_set(complete, "DATABASE_URL")
        database = None
        if is_local:
            if fault := folder.fault():
                raise StartupError(fault)
            folder.make_secrets()
            made = folder.made_secrets()
            complete |= made | {"DATABASE_URL": "postgresql://"}
        if fault := port_fault(read_settings(complete)):
            raise StartupError(fault)
        if is_local:
            database = EmbeddedPostgres(folder.database, report)
            stack.callback(database.stop)
            complete["DATABASE_URL"] = database.url
        settings = read_settings(complete)
        report("Migrating the database …")
        migrate_database(settings.database_url)
        prepare(settings)
        report("Starting the web server and the scheduler …")
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(_stop, processes)
        output = stack.enter_context((folder.path / "output.log").open("ab")) if quiet else None
        for name, command in _commands().items():
            processes[name] = subprocess.Popen(  # noqa: S603  our own programs
                command, env=complete, start_new_session=True, stdout=output, stderr=output
            )
        running = Running(
            settings, complete, local_url(settings), processes, made, stop_requested=stop_requested
        )
        if database is not None:
            running = replace(running, database_runs=lambda: database.pid is not None)
        _wait_until_ready(running, report)
        yield running


def local_url(settings: Settings) -> str:
    """How the web server is reached from this machine."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104
    host = settings.bind_host
    host = everywhere.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{settings.port}"


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
                f" If another program uses it, choose another port: PORT={settings.port % 65535 + 1} make run"
            )
    return ""


def _commands() -> dict[str, list[str]]:
    python = sys.executable
    web = ["gunicorn", "--config", "python:webhook_app.serving", "webhook_app.app:create_app()"]
    return {"web": [python, "-m", *web], "scheduler": [python, "-m", "webhook_app.cli.main", "scheduler"]}


def _wait_until_ready(running: Running, report: Report, idle_seconds: float = _IDLE_SECONDS) -> None:
    """Wait as long as the web server works on its start: a busy machine needs minutes. Raises StartupError."""
    began = reported = busy = time.monotonic()
    used = 0.0
    while True:
        if running.stop_requested():
            raise StopRequestedError
        for name, process in running.processes.items():
            if process.poll() is not None:
                raise StartupError(f"The {name} did not start; see its message above.")
        with suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/healthz", timeout=2, trust_env=False).is_success:
                return
        now = time.monotonic()
        if abs((seconds := _cpu_seconds(running.processes["web"].pid)) - used) >= 0.1:
            used, busy = seconds, now
        if now - busy > idle_seconds:
            raise StartupError(
                f"The web server does not answer on {running.url}, and has used no CPU for {idle_seconds:.0f} s."
            )
        if now - reported > REPORT_SECONDS:
            reported = now
            report(f"Waiting for the web server on {running.url}, {now - began:.0f} s so far …")
        time.sleep(0.1)


def _cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its children."""
    total = 0.0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _stop(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """SIGTERM to all, so that requests and jobs in progress finish; SIGKILL to those that do not end in time."""
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
def _signals() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into StopRequestedError, and ignore later ones during the stop.

    Yields whether one arrived.
    """
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    arrived: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signal module's signature
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        arrived.append(number)
        raise StopRequestedError

    before = {each: signal.signal(each, stop) for each in handled}
    try:
        yield lambda: bool(arrived)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
