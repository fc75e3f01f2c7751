"""The pages about rules: plain words for every kind, the last look, nearness of each group, what is muted and why."""

import re
from datetime import timedelta

import pytest

from tests.support.alerts import store_alert
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule_kinds import RULE_KINDS
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts
from webhook_app.web.pages.incidents.rule_descriptions import CHECKS, describe

HOUR = timedelta(hours=1)
OURS = """
[[rule]]
name = "our rule / <b>"
kind = "rate"
threshold = 0.1
min_attempts = 10
min_failures = 5
confidence = 0
for_evaluations = 1
group_by = ["code", "template"]
channels = ["log"]
"""


def rule(kind, keys=""):
    needed = "threshold = 0.02\n" if kind == "rate" else ""
    return parse_rules(f'[[rule]]\nname = "r"\nkind = "{kind}"\n{needed}{keys}')[0]


@pytest.fixture
def traffic(deliver, now):
    """Of two codes one is near the default threshold, on 200 messages."""
    sent = [status(f"wamid.{n}", "sent", now) for n in range(200)]
    failed = [status(f"wamid.{n}", "failed", now, code=131026) for n in range(8)]
    deliver(body(*sent, *failed, status("wamid.50", "failed", now, code=131053)))


class TestWords:
    @pytest.mark.parametrize("kind", RULE_KINDS)
    def test_every_kind_says_when_it_begins_when_it_ends_and_what_it_notifies(self, kind):
        begins, ends, notifies = describe(rule(kind))
        assert begins.startswith(("Fires when ", "Checks "))
        assert ends.startswith("Resolves when it ")
        assert notifies.startswith("Notifies Slack, again after ")
        for words in (begins, ends, notifies):
            assert words.endswith(".")
            assert "_" not in words

    @pytest.mark.parametrize("check", [check for kind in RULE_KINDS.values() for check in kind.checks])
    def test_every_check_has_a_description(self, check):
        kind = next(name for name, held in RULE_KINDS.items() if check in held.checks)
        assert CHECKS[check] in describe(rule(kind, f'checks = ["{check}"]'))[0]

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ("codes = [131026, 190]", "Counts codes 131026, 190"),
            ('classes = ["withheld"]', "Counts withheld failures"),
            ('domains = ["template", "media"]', "Counts failures of the domains template and media"),
            ("for_evaluations = 1", "Counts broken and unreachable failures."),
            ("for_evaluations = 3", "it takes 3 evaluations in a row"),
            ("confidence = 0", "fail within 15 min, with at least"),
            ("group_by = []", "of all messages fail"),
            ("channels = []", "Notifies nobody: it is visible only here"),
            ("escalate_above = 0.2", "Becomes critical above 20\N{NARROW NO-BREAK SPACE}%"),
        ],
    )
    def test_keys_show_in_the_words(self, keys, words):
        assert words in " ".join(describe(rule("rate", keys)))


class TestActive:
    def test_all_rules_are_there_before_the_first_look_too(self, viewer):
        page = viewer.get("/rules").text
        for each in parse_rules(default_rules_text()):
            assert f'id="{each.name}"' in page
        assert "No rule has been evaluated yet" in page

    def test_the_last_look_says_what_was_nearest_and_how_near(self, viewer, traffic, engine, now):
        evaluate(engine, parse_rules(default_rules_text()), now)
        page = viewer.get("/rules").text
        card = page[page.index('id="failure-rate-per-code"') : page.index('id="failure-rate-per-number"')]
        assert f"<b>code 131026, business number {NUMBER}</b>: 8 of 200 messages failed" in card
        assert re.search(r"\b[1-9]\d %", card)
        assert "No rule has been evaluated yet" not in page

    def test_firing_alerts_and_silences_are_named_with_their_rule(self, viewer, engine, now):
        for code in (131026, 131053):
            store_alert(engine, now, rule="failure-rate-per-code", state="firing", group={"code": code})
        with engine.begin() as connection:
            actions.add_silence(
                connection, matchers={"kind": "health"}, author="kim", until=now + HOUR, comment="", now=now
            )
        page = viewer.get("/rules").text
        assert "2 firing" in page
        health = page[page.index('id="health"') : page.index('id="messaging-limit"')]
        assert "by kim covers all of its alerts" in health

    def test_an_invalid_rules_file_is_reported(self, make_app, keys, tmp_path):
        from tests.web.conftest import sign_in  # noqa: PLC0415

        faulty = tmp_path / "rules.toml"
        faulty.write_text("[[rule]]\n")
        client = make_app(rules_file=faulty).test_client()
        sign_in(client, keys["viewer"])
        assert "rules file is invalid" in client.get("/rules").text


class TestOne:
    @pytest.mark.parametrize("each", [r.name for r in parse_rules(default_rules_text())])
    def test_every_rule_of_the_default_file_has_a_page_with_and_without_traffic(
        self, viewer, deliver, now, each
    ):
        assert viewer.get(f"/rules/one?rule={each}").status_code == 200
        deliver(body(*(status(f"wamid.{n}", "failed", now, code=190) for n in range(20))))
        page = viewer.get(f"/rules/one?rule={each}").text
        assert "<code>severity</code>" not in page
        assert "by distance to the threshold" in page

    def test_calm_groups_are_there_too_the_nearest_first(self, viewer, traffic):
        page = viewer.get("/rules/one?rule=failure-rate-per-code").text
        near, far = page.index("8 of 200 messages failed"), page.index("1 of 200 messages failed")
        assert near < far
        assert page.count("<meter") == 2

    def test_a_group_with_an_alert_leads_to_it(self, viewer, deliver, engine, now):
        deliver(body(*(status(f"wamid.{n}", "failed", now, code=131026) for n in range(60))))
        deliver(body(*(status(f"wamid.n{n}", "sent", now) for n in range(60))))
        for _ in range(2):
            evaluate(engine, parse_rules(default_rules_text()), now)
            now += timedelta(seconds=15)
        page = viewer.get("/rules/one?rule=failure-rate-per-code").text
        with engine.connect() as connection:
            ids = [a.id for a in alerts.open_alerts(connection) if a.rule == "failure-rate-per-code"]
        assert f'href="/alerts/{ids[0]}"' in page
        assert ">above<" in page

    def test_names_that_are_no_path_work(self, make_app, keys, tmp_path):
        from tests.web.conftest import sign_in  # noqa: PLC0415

        path = tmp_path / "rules.toml"
        path.write_text(OURS)
        client = make_app(rules_file=path).test_client()
        sign_in(client, keys["viewer"])
        assert "/rules/one?rule=our%20rule%20/%20%3Cb%3E" in client.get("/rules").text
        assert "error code and template" in client.get("/rules/one?rule=our rule / <b>").text

    def test_a_rule_that_is_not_there_is_not_found(self, viewer):
        assert viewer.get("/rules/one?rule=nothing").status_code == 404
        assert viewer.get("/rules/one").status_code == 404
