"""The service's gunicorn settings with little patience and few places, so that tests of slow clients are quick."""

from webhook_app.serving import *  # noqa: F403  first: it says where the metrics go, before anything counts

# isort: split
import os

from webhook_app import gunicorn_connection, gunicorn_worker
from webhook_app.web import probes

gunicorn_connection.FIRST_BYTE_S = 0.6
gunicorn_connection.REQUEST_S = 0.6
gunicorn_connection.ANSWER_S = float(os.environ.get("ANSWER_S", "0.6"))
gunicorn_connection.LINGER_S = 3.0
gunicorn_connection.LINGER_IDLE_S = 0.2
gunicorn_connection.BYTES_PER_SECOND = 2**20
gunicorn_worker.READING_BYTES = 8 * 2**20
probes._SHARED_SECONDS = 0  # tests compare figures before and after
keepalive = 1
worker_connections = 100
