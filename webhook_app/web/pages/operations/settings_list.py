"""The settings in force as a page may show them: what could be a secret, or hold one, is only said to be set."""

from msgspec import Struct

from webhook_app.settings import Settings

_OPEN = frozenset((
    "port", "bind_host", "web_concurrency", "public_url", "trusted_proxies", "webhook_allow_from",
    "meta_mtls_subject_header", "data_dir", "rules_file", "evaluate_seconds", "slack_channel", "events_keep_days",
    "failures_keep_days", "raw_keep_days", "counts_keep_days", "soft_failures", "soft_days", "stop_blocks",
    "probe_hours", "suppress_hourly_cap", "default_region", "check_when_away", "pause_senders", "ingest_queue",
    "log_format",
))  # fmt: skip


class SettingRow(Struct, frozen=True):
    """A setting by its variable. `value` is empty when it is not set, and hidden when `is_masked`."""

    name: str
    value: str
    is_masked: bool


def shown_settings(settings: Settings) -> list[SettingRow]:
    """All of them by name. One that nobody has listed as open is masked."""
    return [_shown(name, getattr(settings, name)) for name in sorted(type(settings).model_fields)]


def _shown(name: str, value: object) -> SettingRow:
    if name not in _OPEN:
        return SettingRow(name.upper(), "set" if value else "", is_masked=bool(value))
    words = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return SettingRow(name.upper(), words, is_masked=False)
