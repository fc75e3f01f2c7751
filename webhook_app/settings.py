"""The settings, read from the environment. No other module reads the environment.

Every variable can be read from a file instead: NAME_FILE holds its path. All faults are reported at once, by name.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from webhook_app.channels import pagerduty, slack_bot
from webhook_app.channels.email import SmtpServer, read_address, read_addresses, read_smtp_url
from webhook_app.channels.webhook import read_secret
from webhook_app.graph import client as graph_client
from webhook_app.rules.suppressions.keywords_file import read_keywords
from webhook_app.store.postgres.engine import is_libpq_url
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable, which it reads when it is imported."""

SHOWN = frozenset((
    "port", "bind_host", "web_concurrency", "public_url", "trusted_proxies", "webhook_allow_from",
    "meta_mtls_subject_header", "data_dir", "rules_file", "evaluate_seconds", "slack_channel", "events_keep_days",
    "failures_keep_days", "raw_keep_days", "counts_keep_days", "soft_failures", "soft_days", "suppress", "stop_blocks",
    "opt_in", "probe_hours", "suppress_hourly_cap", "key_suppress_hourly_cap", "default_region", "check_when_away",
    "pause_senders", "keywords_file", "ingest_queue", "log_format", "meta_app_id", "graph_api_version",
))  # fmt: skip
"""Settings whose values may be shown. Any other value is masked: it is a secret, or may contain one."""


MASKED = "***"
MIN_SECRET_LENGTH = 16

_BOOT_ERROR = 3  # gunicorn gives up instead of starting worker after worker


class SettingsError(Exception):
    """The environment cannot be used; the message lists every fault with the variable's name."""


Networks = tuple[IPv4Network | IPv6Network, ...]


def _read(reader: Callable[[str], object]) -> Callable[[Any], Any]:
    """Returns a validator that applies `reader` to text and leaves other values as they are."""
    return lambda value: reader(value) if isinstance(value, str) else value


def _read_webhook_secrets(text: str) -> tuple[bytes, ...]:
    return tuple(read_secret(part.strip()) for part in text.split(",") if part.strip())


def _check_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be an http:// or https:// address")
    return value


def _check_database_url(value: str) -> str:
    if not is_libpq_url(value):  # libpq's own message quotes the URL, password included
        raise ValueError("is not a URL like postgresql://user:password@host/database")
    return value


def _check_length(value: str | bytes) -> str | bytes:
    """Refuses what could be guessed: Meta's app secrets have 32 characters, our own keys 46."""
    if 0 < len(value) < MIN_SECRET_LENGTH:
        raise ValueError(f"is too short: at least {MIN_SECRET_LENGTH} characters")
    return value


Address = Annotated[str, AfterValidator(_check_address)]

_TOGETHER = (
    ("slack_bot_token", "slack_channel", "slack_signing_secret"),
    ("smtp_url", "alert_emails"),
    ("alert_webhook_url", "alert_webhook_secret"),
)
_INSTEAD = (("slack_webhook_url", "slack_bot_token"),)


class Settings(BaseModel):
    """Everything an operator can set. docs/operating.md has the same table."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    database_url: Annotated[str, Field(min_length=1), AfterValidator(_check_database_url)]
    meta_app_secret: tuple[Annotated[bytes, AfterValidator(_check_length)], ...] = Field(min_length=1)
    meta_verify_token: Annotated[str, Field(min_length=1), AfterValidator(_check_length)]
    admin_api_key: Annotated[str, AfterValidator(_check_length)] = Field(
        default="", description="a key with the role admin"
    )
    meta_access_token: str = Field(
        default="", description="for reading the Graph API; nothing is written or sent"
    )
    meta_app_id: str = Field(default="", pattern="^[0-9]*$")
    graph_api_url: Address = graph_client.API_URL
    graph_api_version: str = Field(default=graph_client.API_VERSION, pattern=r"^v\d{1,3}\.\d$")
    port: int = Field(default=8000, ge=1, le=65535)
    bind_host: str = Field(default="0.0.0.0")  # noqa: S104  a web server behind the platform's proxy
    web_concurrency: int = Field(default=2, ge=1, le=256)
    public_url: str = ""
    trusted_proxies: Networks = Field(
        default=(), description="whose X-Forwarded-For and certificate header count"
    )
    webhook_allow_from: Networks = Field(default=(), description="who may post to /webhook; empty: everybody")
    meta_mtls_subject_header: str = Field(default="", pattern="^[A-Za-z0-9-]*$")
    data_dir: Path = Path(".data")
    rules_file: Path | None = None
    evaluate_seconds: float = Field(default=15, gt=0, le=3600)
    slack_webhook_url: Address = ""
    slack_bot_token: str = ""
    slack_channel: str = ""
    slack_signing_secret: str = ""
    slack_api_url: Address = slack_bot.API_URL
    pagerduty_routing_key: str = ""
    pagerduty_events_url: Address = pagerduty.EVENTS_URL
    smtp_url: Annotated[SmtpServer | None, BeforeValidator(_read(read_smtp_url))] = None
    alert_emails: Annotated[tuple[str, ...], BeforeValidator(_read(read_addresses))] = ()
    alert_email_from: Annotated[str, AfterValidator(read_address)] = ""
    alert_webhook_url: Address = ""
    alert_webhook_secret: Annotated[tuple[bytes, ...], BeforeValidator(_read(_read_webhook_secrets))] = ()
    alertmanager_url: Address = ""
    heartbeat_url: Address = ""
    events_keep_days: int = Field(default=90, ge=8)
    failures_keep_days: int = Field(default=400, ge=8)
    raw_keep_days: int = Field(default=7, ge=1)
    counts_keep_days: int = Field(default=90, ge=8)
    soft_failures: int = Field(default=3, ge=1, le=100)
    soft_days: int = Field(default=2, ge=1, le=100)
    suppress: str = Field(default="on", pattern="^(on|shadow)$")
    stop_blocks: str = Field(default="messages", pattern="^(messages|all)$")
    opt_in: str = Field(default="optional", pattern="^(optional|required)$")
    probe_hours: float = Field(default=24, ge=1, le=720)
    suppress_hourly_cap: int = Field(default=5_000, ge=1)
    key_suppress_hourly_cap: int = Field(default=100, ge=1)
    default_region: str = Field(default="", pattern="^([A-Za-z]{2})?$")
    check_when_away: str = Field(default="refuse", pattern="^(refuse|allow)$")
    pause_senders: str = Field(default="off", pattern="^(on|off)$")
    keywords_file: Path | None = None
    ingest_queue: int = Field(default=2000, ge=1)
    log_format: str = Field(default="auto", pattern="^(auto|json|text)$")

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """The fields for repr() and str(), with every value masked that may not be shown."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            yield name, value if name in SHOWN or not value else MASKED

    @cached_property
    def keywords(self) -> Keywords:
        """The STOP and START words in force. Raises OSError or ValueError when KEYWORDS_FILE cannot be used."""
        if self.keywords_file is None:
            return DEFAULT
        return read_keywords(self.keywords_file.read_text(encoding="utf-8"))

    @field_validator("meta_app_secret", mode="before")
    @classmethod
    def _split_secrets(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().encode() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies", "webhook_allow_from", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("meta_mtls_subject_header")
    @classmethod
    def _need_a_proxy(cls, value: str, others: ValidationInfo) -> str:
        if value and others.data.get("trusted_proxies") == ():
            raise ValueError("needs TRUSTED_PROXIES: from anybody else the header proves nothing")
        return value


def process_environment() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)


def metrics_folder(make: Callable[[], str] | None = None) -> str | None:
    """The folder in which the web workers of a host share metrics; `make` creates it for a server that has none."""
    if make is not None and METRICS_FOLDER not in os.environ:
        os.environ[METRICS_FOLDER] = make()
    return os.environ.get(METRICS_FOLDER)


def is_set(environment: Mapping[str, str], name: str) -> bool:
    """Whether the variable is given, as a value or as a file."""
    return bool(environment.get(name) or environment.get(f"{name}_FILE"))


def read_variable(environment: Mapping[str, str], name: str) -> str:
    """The value of one variable, or the content of its file. Raises SettingsError."""
    faults: list[str] = []
    value = _look_up(environment, name, faults)
    if faults:
        raise _error(faults)
    return value


def read_database_url() -> str:
    """DATABASE_URL alone, for work that needs no other setting. Raises SettingsError."""
    url = read_variable(os.environ, "DATABASE_URL")
    if not url:
        raise _error(["DATABASE_URL: is required"])
    if not is_libpq_url(url):
        raise _error(["DATABASE_URL: is not a URL like postgresql://user:password@host/database"])
    return url


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingsError naming every variable that is missing or wrong."""
    environment = os.environ if environment is None else environment
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = _look_up(environment, name.upper(), faults)
        if value:
            values[name] = value
    faults += _combination_faults(values)
    try:
        settings = Settings(**values)
        if fault := _keywords_fault(settings):
            faults.append(fault)
    except ValidationError as error:
        faults += [_fault(detail) for detail in error.errors()]
    if faults:
        raise _error(faults)
    return settings


def read_settings_or_exit() -> Settings:
    """The settings of a web server, which ends with the code that keeps gunicorn from starting it again."""
    try:
        return read_settings()
    except SettingsError as fault:
        print(fault, file=sys.stderr)  # noqa: T201  logs are not configured yet
        sys.exit(_BOOT_ERROR)


def _error(faults: Sequence[str]) -> SettingsError:
    return SettingsError("\n".join(["The settings cannot be used:", *(f"  {fault}" for fault in faults)]))


def _keywords_fault(settings: Settings) -> str:
    try:
        _ = settings.keywords
    except (OSError, ValueError) as fault:
        return f"KEYWORDS_FILE: {settings.keywords_file}: {fault}"
    return ""


def _combination_faults(values: Mapping[str, Any]) -> list[str]:
    """Faults of settings that need, or exclude, each other."""
    faults = [
        f"{name.upper()}: is required with {given.upper()}"
        for group in _TOGETHER
        if (given := next((name for name in group if name in values), None))
        for name in group
        if name not in values
    ]
    doubled = [pair for pair in _INSTEAD if all(name in values for name in pair)]
    return faults + [f"{one.upper()}: set it or {other.upper()}, not both" for one, other in doubled]


def _look_up(environment: Mapping[str, str], name: str, faults: list[str]) -> str:
    """The variable, or the content of the file that NAME_FILE names."""
    path = environment.get(f"{name}_FILE", "")
    if not path:
        return environment.get(name, "").strip()
    if environment.get(name):
        faults.append(f"{name}: set it or {name}_FILE, not both")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        # A value without a slash may be the secret itself, given under the wrong name.
        shown = f"{path} cannot be read" if "/" in path else "the file it names cannot be read"
        faults.append(f"{name}_FILE: {shown} ({getattr(error, 'strerror', None) or 'not UTF-8 text'})")
        return ""


def _fault(detail: Any) -> str:
    name = str(detail["loc"][0]).upper()
    if detail["type"] in ("missing", "too_short"):
        return f"{name}: is required"
    return f"{name}: {detail['msg'].removeprefix('Value error, ')}"
