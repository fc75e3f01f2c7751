"""The folder DATA_DIR: the embedded database, and the secrets that were made on the first run."""

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from webhook_app.embedded import EmbeddedPostgres, Report, StartupError
from webhook_app.settings import is_set, read_variable

SECRETS = ("META_APP_SECRET", "META_VERIFY_TOKEN", "ADMIN_API_KEY")

Environment = dict[str, str]


class DataFolder:
    """The folder that an environment names. Making the object reads and writes nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.path = Path(read_variable(environment, "DATA_DIR") or ".data")
        self.database = self.path / "postgres"
        self._secrets = self.path / "secrets.json"

    @property
    def has_database(self) -> bool:
        return (self.database / "PG_VERSION").exists()

    def fault(self) -> str:
        """Why the data cannot be kept there; empty when it can. Creates the folder."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            for file in (self._secrets, *(self.path / f"postgres.{ending}" for ending in ("lock", "users"))):
                if file.exists() and not os.access(file, os.R_OK | os.W_OK):
                    return self._unusable(f"{file} belongs to another user")
        except OSError as fault:
            return self._unusable(str(fault.strerror))
        return ""

    def _unusable(self, why: str) -> str:
        return (
            f"DATA_DIR: {self.path.absolute()} cannot be written to ({why}). If another user made it, perhaps root,"
            " give it to this user (chown -R), or name another folder: DATA_DIR=~/webhook_app_data"
        )

    def make_secrets(self) -> None:
        """Make the secrets on the first run; later runs find them."""
        if self._secrets.exists():
            return
        made = {name: secrets.token_urlsafe(24) for name in SECRETS}
        new = self._secrets.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        new.replace(self._secrets)

    def made_secrets(self) -> Environment:
        """The secrets that were made here and that the environment does not give."""
        try:
            made: Environment = json.loads(self._secrets.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError:
            raise StartupError(
                f"{self._secrets} is damaged: restore it, or delete it to get new secrets"
            ) from None
        return {name: value for name, value in made.items() if not is_set(self._environment, name)}

    @contextmanager
    def open_database(self, report: Report = lambda _line: None) -> Iterator[str]:
        """The URL of the embedded database. One that does not run is started, and stopped at the end.

        Raises StartupError when the folder has no database.
        """
        if not self.has_database:
            raise StartupError(
                f"There is no database: DATABASE_URL is not set, and {self.path}/ has no embedded one."
                " Set DATABASE_URL, or create the embedded database with `webhook-app up`."
            )
        if fault := self.fault():
            raise StartupError(fault)
        server = EmbeddedPostgres(self.database, report)
        try:
            yield server.url
        finally:
            server.close()
