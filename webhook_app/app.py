"""create_app: assembles settings, connections and blueprints. No routes, no queries."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

from flask import Flask
from gevent.monkey import is_module_patched  # type: ignore[import-untyped]
from gevent.threadpool import ThreadPool  # type: ignore[import-untyped]

from webhook_app import logs
from webhook_app.event_loop import Turns
from webhook_app.pipeline.receiving.ingest import GroupCommit
from webhook_app.pipeline.suppressions.checks.checks import Checks
from webhook_app.settings import Settings, metrics_folder, read_settings_or_exit
from webhook_app.store.postgres.engine import Engine, connect, make_engine
from webhook_app.web import errors, security_headers
from webhook_app.web.api import ENDPOINTS, api_blueprint, openapi
from webhook_app.web.api.direct import answer_directly
from webhook_app.web.api.endpoints import ApiContext
from webhook_app.web.api.reference import docs_blueprint
from webhook_app.web.api.suppressions import check
from webhook_app.web.auth import Keyring
from webhook_app.web.pages import pages_blueprint
from webhook_app.web.probes import probes_blueprint
from webhook_app.web.receiving.origin import Origin
from webhook_app.web.receiving.receive import DeliveryReceiver, receive_before_flask, receive_blueprint
from webhook_app.web.request_limits import LimitedRequest
from webhook_app.web.requests import follow_requests
from webhook_app.web.security_headers import is_https
from webhook_app.web.slack_interactions import slack_blueprint

CLOSE = "webhook_app.close"
"""app.extensions[CLOSE]() stores the waiting deliveries and closes every connection of the application."""
_SLOTS = 64  # more than any host has workers; two workers on one slot only wait for each other's count rows


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application. Opens no connection until the first request needs one."""
    if settings is None:
        settings = read_settings_or_exit()
        logs.configure(settings.log_format)
    url = settings.database_url
    app = Flask("webhook_app.web", static_folder=None)
    app.request_class = LimitedRequest
    app.url_map.merge_slashes = False  # its redirects repeat the Host and scheme of the request
    app.config["SESSION_COOKIE_SECURE"] = is_https(settings.public_url)
    follow_requests(app)
    ingest = GroupCommit(
        lambda: connect(url, application="webhook_app ingest", statement_seconds=15),
        _clock,
        slot=os.getpid() % _SLOTS,
        max_waiting=settings.ingest_queue,
        words=settings.keywords,
        in_thread=_thread_runner(),
        await_turn=Turns().wait,
    )
    engine = make_engine(url, application="webhook_app web")
    origin = Origin(settings.webhook_allow_from, settings.trusted_proxies, settings.meta_mtls_subject_header)
    app.register_blueprint(receive_blueprint(ingest, settings.meta_verify_token))
    receive_before_flask(app, DeliveryReceiver(ingest, settings.meta_app_secret, origin), settings.public_url)
    lookups = make_engine(url, application="webhook_app lookups", plans_once=True)
    probes = make_engine(url, application="webhook_app probes", pool_size=2)
    checks = Checks(lambda: connect(url, application="webhook_app checks", plans_once=True), _clock)
    keys = make_engine(url, application="webhook_app keys", pool_size=1)  # others may use up the connections
    app.extensions[CLOSE] = partial(_close, ingest, checks, engine, lookups, probes, keys)
    keyring = Keyring(keys, settings.admin_api_key, settings.trusted_proxies)
    context = ApiContext(engine, lookups, checks, settings, keyring, _clock)
    app.register_blueprint(api_blueprint(context))
    answer_directly(app, check.DIRECT, context)
    app.register_blueprint(slack_blueprint(engine, settings.slack_signing_secret, _clock))
    app.register_blueprint(pages_blueprint(context))
    app.register_blueprint(
        docs_blueprint(openapi.document(ENDPOINTS, version("webhook-app"), settings.public_url))
    )
    app.register_blueprint(probes_blueprint(probes, _clock, metrics_folder(), ingest.fullness))
    errors.install(app)
    security_headers.secure_app(app, settings.public_url)
    return app


def _thread_runner() -> Callable[[Callable[[], Any]], Any]:
    """In a gevent worker, runs a call in a thread of its own while greenlets go on; elsewhere just calls it."""
    return ThreadPool(1).apply if is_module_patched("threading") else lambda call: call()


def _close(ingest: GroupCommit, checks: Checks, *engines: Engine) -> None:
    ingest.close()
    checks.close()
    for engine in engines:
        engine.dispose()


def _clock() -> datetime:
    return datetime.now(UTC)
