"""gunicorn's settings: gevent workers, limits, and one metrics folder for all of them. No application code.

Client timeouts are in gunicorn_worker.py. TLS and everything before it is up to the proxy.

Used as `gunicorn --config python:webhook_app.serving 'webhook_app.app:create_app()'`.
"""

import os
import resource
import shutil
import tempfile

from gunicorn.config import Config
from gunicorn.glogging import Logger

from webhook_app import collect_garbage_rarely
from webhook_app.logs import line_formatter

_metrics = os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="webhook_app_metrics_"))

bind = f"{os.environ.get('BIND_HOST', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104  behind a proxy
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "webhook_app.gunicorn_worker.BoundedWorker"
worker_connections = 2000
backlog = 2048
http_parser = "python"  # the one that the tests of malformed requests are about
keepalive = 75  # longer than the idle time of common proxies, so that they hang up first
timeout = 60
graceful_timeout = 30
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
header_map = "drop"  # X_Hub_Signature_256 is not X-Hub-Signature-256
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
accesslog = None
errorlog = "-"
loglevel = "warning"
proc_name = "webhook_app web"


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's lines in the form of ours. logconfig_dict would do it, too, and describe every request for nobody."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(line_formatter(os.environ.get("LOG_FORMAT", "auto")))


logger_class = _Log


def on_starting(server: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Allow as many open files as there are places for connections; many systems start with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def post_worker_init(worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """The application is loaded, and lives as long as the worker."""
    collect_garbage_rarely()


def worker_exit(server: object, worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Let the application store what it still counts; a worker that failed to start has none."""
    if (app := getattr(worker, "wsgi", None)) is not None:
        app.extensions["webhook_app.close"]()


def child_exit(server: object, worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Let the metrics of a worker that ended be merged, not counted as living."""
    from prometheus_client import multiprocess  # noqa: PLC0415  reads the folder's variable on import

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[attr-defined,no-untyped-call]


def on_exit(server: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Remove the metrics folder with its last user."""
    shutil.rmtree(_metrics, ignore_errors=True)
