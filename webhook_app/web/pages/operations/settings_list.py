"""The settings in force as a page may show them: what could be a secret, or hold one, is only said to be set."""

from msgspec import Struct

from webhook_app.settings import SHOWN, Settings


class SettingRow(Struct, frozen=True):
    """A setting by its variable. `value` is empty when it is not set, and hidden when `is_masked`."""

    name: str
    value: str
    is_masked: bool


def shown_settings(settings: Settings) -> list[SettingRow]:
    """All of them by name. One that nobody has listed as open is masked."""
    return [_shown(name, getattr(settings, name)) for name in sorted(type(settings).model_fields)]


def _shown(name: str, value: object) -> SettingRow:
    if name not in SHOWN:
        return SettingRow(name.upper(), "set" if value else "", is_masked=bool(value))
    words = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return SettingRow(name.upper(), words, is_masked=False)
