"""Frozen settings from the environment, every fault reported at once, by name. The only reader of the environment.

`NAME_FILE` reads a secret from a file. Production (DATABASE_URL is set) never invents a secret.
"""

import os
from collections.abc import Callable, Mapping
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
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords, read_keywords


class SettingsError(Exception):
    """The environment cannot be used; the message lists every fault with the variable's name."""


Networks = tuple[IPv4Network | IPv6Network, ...]


def _read(reader: Callable[[str], object]) -> Callable[[Any], Any]:
    """Texts of the environment are read; values that were read before stay as they are."""
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


Address = Annotated[str, AfterValidator(_check_address)]

_TOGETHER = (
    ("slack_bot_token", "slack_channel", "slack_signing_secret"),
    ("smtp_url", "alert_emails"),
    ("alert_webhook_url", "alert_webhook_secret"),
)
_INSTEAD = (("slack_webhook_url", "slack_bot_token"),)


class Settings(BaseModel):
    """Everything an operator can set. Defaults stand in the README's table."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    database_url: str = Field(min_length=1)
    meta_app_secret: tuple[bytes, ...] = Field(min_length=1)
    meta_verify_token: str = Field(min_length=1)
    admin_api_key: str = Field(default="", description="a key with the role admin")
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
    stop_blocks: str = Field(default="messages", pattern="^(messages|all)$")
    probe_hours: float = Field(default=24, ge=1, le=720)
    suppress_hourly_cap: int = Field(default=5_000, ge=1)
    default_region: str = Field(default="", pattern="^([A-Za-z]{2})?$")
    check_when_away: str = Field(default="refuse", pattern="^(refuse|allow)$")
    pause_senders: str = Field(default="off", pattern="^(on|off)$")
    keywords_file: Path | None = None
    ingest_queue: int = Field(default=2000, ge=1)
    log_format: str = Field(default="auto", pattern="^(auto|json|text)$")

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


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingsError naming every variable that is missing or wrong."""
    environment = os.environ if environment is None else environment
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = _lookup(environment, name.upper(), faults)
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
        raise SettingsError("\n".join(["The settings cannot be used:", *(f"  {fault}" for fault in faults)]))
    return settings


def _keywords_fault(settings: Settings) -> str:
    try:
        _ = settings.keywords
    except (OSError, ValueError) as fault:
        return f"KEYWORDS_FILE: {settings.keywords_file}: {fault}"
    return ""


def _combination_faults(values: Mapping[str, Any]) -> list[str]:
    """What makes sense only with something else, or not with it."""
    faults = [
        f"{name.upper()}: is required with {given.upper()}"
        for group in _TOGETHER
        if (given := next((name for name in group if name in values), None))
        for name in group
        if name not in values
    ]
    doubled = [pair for pair in _INSTEAD if all(name in values for name in pair)]
    return faults + [f"{one.upper()}: set it or {other.upper()}, not both" for one, other in doubled]


def _lookup(environment: Mapping[str, str], name: str, faults: list[str]) -> str:
    """The variable, or the content of the file that NAME_FILE names."""
    path = environment.get(f"{name}_FILE", "")
    if not path:
        return environment.get(name, "").strip()
    if environment.get(name):
        faults.append(f"{name}: set it or {name}_FILE, not both")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        faults.append(f"{name}_FILE: {path} cannot be read ({error.strerror})")
        return ""


def _fault(detail: Any) -> str:
    name = str(detail["loc"][0]).upper()
    if detail["type"] in ("missing", "too_short"):
        return f"{name}: is required"
    return f"{name}: {detail['msg'].removeprefix('Value error, ')}"
