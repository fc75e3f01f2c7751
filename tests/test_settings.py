"""Settings: everything from the environment, every fault at once and by name, secrets also from files."""

from pathlib import Path

import pytest

from webhook_app.settings import SettingsError, read_settings
from webhook_app.whatsapp.people.keywords import keyword_in

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


CHANNELS = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_CHANNEL": "#alerts",
    "SLACK_SIGNING_SECRET": "s",
    "PAGERDUTY_ROUTING_KEY": "r",
    "SMTP_URL": "starttls://u:p@mail.example",
    "ALERT_EMAILS": "ops@example.org, boss@example.org",
    "ALERT_WEBHOOK_URL": "https://hooks.example/a",
    "ALERT_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "ALERTMANAGER_URL": "http://alertmanager:9093",
    "HEARTBEAT_URL": "https://hc.example/x",
}


def test_every_way_out_can_be_set_up_at_once() -> None:
    settings = read_settings(GOOD | CHANNELS)
    assert settings.smtp_url is not None
    assert (settings.smtp_url.host, settings.smtp_url.port) == ("mail.example", 587)
    assert settings.alert_emails == ("ops@example.org", "boss@example.org")
    assert len(settings.alert_webhook_secret[0]) == 24


def test_every_fault_of_a_channel_is_named_at_once_without_its_secret() -> None:
    wrong = {
        "SLACK_WEBHOOK_URL": "hooks.slack.com/hush",
        "SLACK_BOT_TOKEN": "xoxb-hush",
        "SMTP_URL": "smtp://u:hush@mail.example",
        "ALERT_WEBHOOK_SECRET": "hush",
        "ALERTMANAGER_URL": "http://host:port/hush",
        "ALERT_EMAIL_FROM": "nobody",
        "PORT": "0",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(GOOD | wrong)
    told = str(caught.value)
    for line in (
        "SLACK_CHANNEL: is required with SLACK_BOT_TOKEN",
        "SLACK_SIGNING_SECRET: is required with SLACK_BOT_TOKEN",
        "SLACK_WEBHOOK_URL: set it or SLACK_BOT_TOKEN, not both",
        "SLACK_WEBHOOK_URL: must be an http:// or https:// address",
        "SMTP_URL: would send the password unencrypted",
        "ALERT_EMAILS: is required with SMTP_URL",
        "ALERT_WEBHOOK_URL: is required with ALERT_WEBHOOK_SECRET",
        "ALERT_WEBHOOK_SECRET: must begin with whsec_",
        "ALERTMANAGER_URL: must be an http:// or https:// address",
        "ALERT_EMAIL_FROM: 'nobody' is not an e-mail address",
        "PORT: ",
    ):
        assert line in told
    assert "hush" not in told


def test_a_keywords_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text('stop = ["halt"]\nstart = ["halt"]', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"KEYWORDS_FILE: .*words\.toml: both stop and start: halt"):
        read_settings({**GOOD, "KEYWORDS_FILE": str(path)})
    path.write_text('stop = ["halt"]', encoding="utf-8")
    assert keyword_in("Halt!", read_settings({**GOOD, "KEYWORDS_FILE": str(path)}).keywords) == "stop"
    assert keyword_in("Halt!", read_settings(GOOD).keywords) == ""
