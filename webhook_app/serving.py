"""gunicorn's configuration: gevent workers, limits, one metrics folder for all workers. No application code.

Client timeouts are in gunicorn_connection.py. TLS, and everything in front of it, belongs to the proxy.

Used as `gunicorn --config python:webhook_app.serving 'webhook_app.app:create_app()'`.
"""

from gevent import monkey  # type: ignore[import-untyped]

# Before anything else is imported: psycopg and ssl choose how they wait when they are imported, and the settings
# import both. A driver that blocks would hold up every connection of the worker.
monkey.patch_all()

import resource
import shutil
import tempfile

from gunicorn.config import Config
from gunicorn.glogging import Logger

from webhook_app import collect_garbage_rarely
from webhook_app.logs import line_formatter
from webhook_app.settings import metrics_folder, read_settings_or_exit

_settings = read_settings_or_exit()
_host = f"[{_settings.bind_host}]" if ":" in _settings.bind_host else _settings.bind_host
_metrics = metrics_folder(lambda: tempfile.mkdtemp(prefix="webhook_app_metrics_"))

bind = f"{_host}:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "webhook_app.gunicorn_worker.BoundedWorker"
worker_connections = 2000
backlog = 2048
http_parser = "python"  # the parser that the tests of malformed requests use
keepalive = 75  # longer than the idle time of common proxies, so that they close first
timeout = 60
graceful_timeout = 30
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
header_map = "drop"  # X_Hub_Signature_256 is not X-Hub-Signature-256
forwarder_headers = (
    ""  # gunicorn exempts SCRIPT_NAME of a client on 127.0.0.1, which moves the start of every path
)
accesslog = None
errorlog = "-"
loglevel = "warning"
proc_name = "webhook_app web"


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's lines in our format. logconfig_dict would also build a record of every request that nothing reads."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(line_formatter(_settings.log_format))


logger_class = _Log


def on_starting(server: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Raise the limit of open files to the number of connections; many systems start with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def post_worker_init(worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Tune the garbage collector once the application is loaded."""
    collect_garbage_rarely()


def worker_exit(server: object, worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Let the application store its waiting counts; a worker that failed to start has none."""
    if (app := getattr(worker, "wsgi", None)) is not None:
        app.extensions["webhook_app.close"]()


def child_exit(server: object, worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Merge the metrics of a worker that ended."""
    from prometheus_client import multiprocess  # noqa: PLC0415  reads the folder's variable on import

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[attr-defined,no-untyped-call]


def on_exit(server: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Remove the metrics folder when the server ends."""
    if _metrics is not None:
        shutil.rmtree(_metrics, ignore_errors=True)
