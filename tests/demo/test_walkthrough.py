"""The parts of the demo. The whole demo takes four minutes and is run by hand."""

from webhook_app.demo.walkthrough import SlackPrinter, boxed, demo_environment, one_minute_rules, week_lines
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.scheduler.jobs import load_rules
from webhook_app.settings import read_settings


def test_the_rules_are_the_default_ones_with_a_shortest_window_of_a_minute():
    ours = {rule.name: rule for rule in parse_rules(one_minute_rules(), "demo")}
    shipped = {rule.name: rule for rule in load_rules(None)}
    assert list(ours) == list(shipped)
    changed = {name for name, rule in ours.items() if rule != shipped[name]}
    assert changed == {name for name, rule in shipped.items() if rule.windows and rule.measure is None}
    assert {ours[name].windows[0] for name in changed} == {1}


def test_no_setting_of_the_users_own_service_reaches_the_demo(tmp_path):
    own = {
        "DATABASE_URL": "postgresql://production",
        "DATABASE_URL_FILE": "/run/secrets/url",
        "DATA_DIR": ".data",
        "META_APP_SECRET": "theirs",
        "PAGERDUTY_ROUTING_KEY": "theirs",
        "SMTP_URL": "smtp://theirs",
        "ADMIN_API_KEY_FILE": "/run/secrets/key",
        "RULES_FILE": "theirs.toml",
    }
    given = demo_environment(
        own | {"PATH": "/bin"}, str(tmp_path), tmp_path / "r.toml", "http://127.0.0.1:1/x"
    )
    assert given["PATH"] == "/bin"
    assert not set(own.values()) & set(given.values())
    made = read_settings(
        given
        | {
            "DATABASE_URL": "postgresql://127.0.0.1/demo",
            "META_APP_SECRET": "the secret of the app",
            "META_VERIFY_TOKEN": "the token of the webhook",
        }
    )
    assert made.data_dir == tmp_path
    assert made.bind_host == "127.0.0.1"
    assert made.port != 8000
    assert made.pagerduty_routing_key == ""
    assert made.smtp_url is None


def test_once_enabled_the_first_message_is_printed_whole_and_then_only_headlines():
    printed: list[str] = []
    printer = SlackPrinter(printed.append)
    printer.show("of last week")
    printer.enabled = True
    printer.show("WARNING\nsince noon")
    printer.show("CRITICAL\nsince one")
    assert printed == [boxed("WARNING\nsince noon"), boxed("CRITICAL")]


def test_the_week_is_summed_up_with_its_findings():
    assert week_lines({"rate": 3, "attention": 1}, ["Template offer is YELLOW"]) == [
        "4 incidents in that week: 3 of kind rate, 1 of kind attention.",
        "Finding, a state that lasts: Template offer is YELLOW.",
    ]
