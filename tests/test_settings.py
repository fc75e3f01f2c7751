"""Settings: everything from the environment, every fault at once and by name, secrets also from files."""

from pathlib import Path

import pytest

from webhook_app.settings import SettingsError, read_settings

GOOD = {"DATABASE_URL": "postgresql://h/d", "META_APP_SECRET": "a, b,", "META_VERIFY_TOKEN": "t"}


def test_the_least_environment_is_enough_and_secrets_are_a_list() -> None:
    settings = read_settings(GOOD)
    assert settings.meta_app_secret == (b"a", b"b")
    assert settings.port == 8000
    assert settings.evaluate_seconds == 15


def test_every_fault_is_reported_at_once_by_name(tmp_path: Path) -> None:
    wrong = {"META_APP_SECRET": " , ", "PORT": "http", "EVALUATE_SECONDS": "-1", "STOP_BLOCKS": "some"}
    wrong |= {"META_VERIFY_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong)
    for name in (
        "DATABASE_URL",
        "META_APP_SECRET",
        "META_VERIFY_TOKEN_FILE",
        "PORT",
        "EVALUATE_SECONDS",
        "STOP_BLOCKS",
    ):
        assert f"  {name}: " in str(caught.value)


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("kept in a file\n")
    environment = {name: value for name, value in GOOD.items() if name != "META_APP_SECRET"}
    assert read_settings(environment | {"META_APP_SECRET_FILE": str(path)}).meta_app_secret == (
        b"kept in a file",
    )


def test_a_value_and_its_file_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    with pytest.raises(SettingsError, match="META_APP_SECRET: set it or META_APP_SECRET_FILE, not both"):
        read_settings(GOOD | {"META_APP_SECRET_FILE": str(path)})


def test_a_secret_never_stands_in_the_message() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(GOOD | {"META_APP_SECRET": "hush-hush", "PORT": "0"})
    assert "hush-hush" not in str(caught.value)


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings(GOOD | {"PORT": "", "RULES_FILE": ""}).rules_file is None
