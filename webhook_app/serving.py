"""gunicorn's settings: gevent workers, limits, and one metrics folder for all of them. No application code.

Used as `gunicorn --config python:webhook_app.serving 'webhook_app.app:create_app()'`.
"""

import os
import shutil
import tempfile

_metrics = os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="webhook_app_metrics_"))

bind = f"{os.environ.get('BIND_HOST', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104  behind a proxy
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gevent"
worker_connections = 2000
backlog = 2048
keepalive = 75
timeout = 60
graceful_timeout = 30
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
accesslog = None
errorlog = "-"
loglevel = "warning"
proc_name = "webhook_app web"


def child_exit(server: object, worker: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Let the metrics of a worker that ended be merged, not counted as living."""
    from prometheus_client import multiprocess  # noqa: PLC0415  reads the folder's variable on import

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[attr-defined,no-untyped-call]


def on_exit(server: object) -> None:  # noqa: ARG001  gunicorn's signature
    """Remove the metrics folder with its last user."""
    shutil.rmtree(_metrics, ignore_errors=True)
