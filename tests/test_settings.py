"""Settings: everything from the environment, every fault at once and by name, secrets also from files."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.folders import ROOT
from webhook_app.settings import SHOWN, Settings, SettingsError, read_database_url, read_settings

GOOD = {
    "DATABASE_URL": "postgresql://h/d",
    "META_APP_SECRET": "the new app secret, the old app secret,",
    "META_VERIFY_TOKEN": "the verify token",
}


def test_the_least_environment_is_enough_and_secrets_are_a_list() -> None:
    settings = read_settings(GOOD)
    assert settings.meta_app_secret == (b"the new app secret", b"the old app secret")
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
    path.write_text("a secret in a file\n")
    environment = {name: value for name, value in GOOD.items() if name != "META_APP_SECRET"}
    assert read_settings(environment | {"META_APP_SECRET_FILE": str(path)}).meta_app_secret == (
        b"a secret in a file",
    )


def test_a_value_and_its_file_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    with pytest.raises(SettingsError, match="META_APP_SECRET: set it or META_APP_SECRET_FILE, not both"):
        read_settings(GOOD | {"META_APP_SECRET_FILE": str(path)})


def test_no_secret_is_in_the_message() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(GOOD | {"META_APP_SECRET": "hush-hush", "PORT": "0"})
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADMIN_API_KEY", "k" * 15),
        ("META_APP_SECRET", "s" * 15),
        ("META_APP_SECRET", f"{'s' * 16},short"),
        ("META_VERIFY_TOKEN", "t" * 15),
    ],
)
def test_a_key_that_could_be_guessed_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: is too short: at least 16 characters") as caught:
        read_settings(GOOD | {name: value})
    assert value not in str(caught.value)
    read_settings(GOOD | {name: value[:1] * 16})


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
    message = str(caught.value)
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
        assert line in message
    assert "hush" not in message


def test_a_keywords_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text('stop = ["halt"]\nstart = ["halt"]', encoding="utf-8")
    with pytest.raises(
        SettingsError, match=r"KEYWORDS_FILE: .*words\.toml: line \d: start: .* is in stop, too"
    ):
        read_settings({**GOOD, "KEYWORDS_FILE": str(path)})
    path.write_text('stop = ["halt"]', encoding="utf-8")
    assert read_settings({**GOOD, "KEYWORDS_FILE": str(path)}).keywords.typed("Halt!") == "stop"
    assert read_settings(GOOD).keywords.typed("Halt!") == ""


def test_no_other_module_reads_the_environment() -> None:
    for folder in ("webhook_app", "migrations"):
        for path in (ROOT / folder).rglob("*.py"):
            if path != ROOT / "webhook_app" / "settings.py":
                assert not re.search(r"os\.(environ|getenv)\b|import environ", path.read_text()), path


@pytest.mark.parametrize(
    "name", [name.upper() for name in Settings.model_fields if not name.endswith("_file")]
)
def test_every_variable_can_come_from_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text(f"{(EVERY | CHANNELS | GOOD)[name]}\n", encoding="utf-8")
    proxies = {"TRUSTED_PROXIES": "10.0.0.0/8"}
    others = {key: value for key, value in (GOOD | CHANNELS | proxies).items() if key != name}
    if name == "SLACK_WEBHOOK_URL":
        others = {key: value for key, value in others.items() if not key.startswith("SLACK_")}
    assert getattr(read_settings(others | {f"{name}_FILE": str(path)}), name.lower())


EVERY = {name.upper(): "12" for name in Settings.model_fields} | {
    "ADMIN_API_KEY": "k" * 16,
    "PORT": "8001", "BIND_HOST": "::1", "TRUSTED_PROXIES": "10.0.0.0/8", "WEBHOOK_ALLOW_FROM": "10.0.0.0/8",
    "META_MTLS_SUBJECT_HEADER": "X-Cert", "SLACK_WEBHOOK_URL": "https://a.example", "SLACK_API_URL": "https://a.example",
    "PAGERDUTY_EVENTS_URL": "https://a.example", "ALERT_EMAIL_FROM": "a@example.org", "STOP_BLOCKS": "all",
    "SUPPRESS": "shadow", "OPT_IN": "required", "GRAPH_API_URL": "https://a.example", "GRAPH_API_VERSION": "v26.0",
    "CHECK_WHEN_AWAY": "allow", "PAUSE_SENDERS": "on", "LOG_FORMAT": "json", "DEFAULT_REGION": "DE",
}  # fmt: skip


SECRET = "hush5ecret"
MASKED = {name for name, field in Settings.model_fields.items() if name not in SHOWN}


def with_secrets() -> Settings:
    """Every setting that may hold a secret holds one."""
    made = {name: f"https://{SECRET}@a.example/{SECRET}" for name in MASKED if name.endswith("_url")}
    made |= {name: f"{SECRET} of {name}" for name in MASKED if name not in made}
    return read_settings({
        **{name.upper(): value for name, value in made.items() if name != "slack_webhook_url"},
        "DATABASE_URL": f"postgresql://u:{SECRET}@h/d",
        "SMTP_URL": f"smtps://u:{SECRET}@mail.example",
        "ALERT_WEBHOOK_SECRET": "whsec_aHVzaDVlY3JldGh1c2g1ZWNyZXRodXNoNWVjcmV0",
        "ALERT_EMAILS": f"{SECRET}@example.org",
        "ALERT_EMAIL_FROM": f"{SECRET}@example.org",
        "SLACK_CHANNEL": "#alerts",
    })  # fmt: skip


def test_no_secret_is_in_the_representation_of_the_settings() -> None:
    settings = with_secrets()
    for shown in (repr(settings), str(settings), f"{settings!r:s}", repr([settings])):
        assert SECRET not in shown
        assert "port=8000" in shown
    values = {name: value for name, value in settings.__repr_args__() if name in MASKED}
    assert values == {name: "***" if getattr(settings, name) else values[name] for name in MASKED}
    hidden = MASKED - {name for name in MASKED if getattr(settings, name)}
    assert hidden <= {"slack_webhook_url"}, "each field that may hold a secret is tried"


@pytest.mark.parametrize("name", sorted(name for name in MASKED if "email" not in name))
def test_no_secret_is_in_a_validation_error(name: str) -> None:
    good = {"database_url": "postgresql://", "meta_app_secret": (b"s" * 16,), "meta_verify_token": "t" * 16}
    with pytest.raises(ValidationError) as caught:
        Settings(**good | {name: [SECRET, {SECRET: SECRET}], "port": SECRET})
    assert SECRET not in str(caught.value)
    with pytest.raises(SettingsError) as refused:
        read_settings(GOOD | {name.upper(): f"{SECRET}://{SECRET} ", "PORT": SECRET})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["postgresql:/u:hush@h/d", "mysql://u:hush@h/d", "postgresql://u:hush@h:x/d?a=1"]
)
def test_a_database_url_that_cannot_be_read_is_not_quoted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("DATABASE_URL_FILE", raising=False)
    for read in (lambda: read_settings(GOOD | {"DATABASE_URL": url}), read_database_url):
        with pytest.raises(SettingsError, match="DATABASE_URL: is not a URL like postgresql://") as caught:
            read()
        assert "hush" not in str(caught.value)


def test_a_secret_given_as_the_name_of_its_file_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"hush\xff")
    for path in ("hush", str(tmp_path / "binary")):
        with pytest.raises(SettingsError, match=r"META_VERIFY_TOKEN_FILE: .* cannot be read") as caught:
            read_settings({**GOOD, "META_VERIFY_TOKEN": "", "META_VERIFY_TOKEN_FILE": path})
        assert "hush" not in str(caught.value)
