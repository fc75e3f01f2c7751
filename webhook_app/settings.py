"""Frozen settings from the environment, every fault reported at once, by name. The only reader of the environment.

`NAME_FILE` reads a secret from a file. Production (DATABASE_URL is set) never invents a secret.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator


class SettingsError(Exception):
    """The environment cannot be used; the message lists every fault with the variable's name."""


class Settings(BaseModel):
    """Everything an operator can set. Defaults stand in the README's table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = Field(min_length=1)
    meta_app_secret: tuple[bytes, ...] = Field(min_length=1)
    meta_verify_token: str = Field(min_length=1)
    admin_api_key: str = Field(default="", description="a key with the role admin")
    port: int = Field(default=8000, ge=1, le=65535)
    bind_host: str = Field(default="0.0.0.0")  # noqa: S104  a web server behind the platform's proxy
    web_concurrency: int = Field(default=2, ge=1, le=256)
    public_url: str = ""
    data_dir: Path = Path(".data")
    rules_file: Path | None = None
    evaluate_seconds: float = Field(default=15, gt=0, le=3600)
    slack_webhook_url: str = ""
    events_keep_days: int = Field(default=90, ge=8)
    failures_keep_days: int = Field(default=400, ge=8)
    raw_keep_days: int = Field(default=7, ge=1)
    counts_keep_days: int = Field(default=90, ge=8)
    soft_failures: int = Field(default=3, ge=1, le=100)
    soft_days: int = Field(default=2, ge=1, le=100)
    stop_blocks: str = Field(default="messages", pattern="^(messages|all)$")
    ingest_queue: int = Field(default=2000, ge=1)
    log_format: str = Field(default="auto", pattern="^(auto|json|text)$")

    @field_validator("meta_app_secret", mode="before")
    @classmethod
    def _split_secrets(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().encode() for part in value.split(",") if part.strip())
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
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_fault(detail) for detail in error.errors()]
    if faults:
        raise SettingsError("\n".join(["The settings cannot be used:", *(f"  {fault}" for fault in faults)]))
    return settings


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
