"""The active rules with their last evaluation, and backtests."""

from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules


def test_every_rule_is_listed_with_its_keys_and_last_evaluation(api, deliver, engine, now):
    deliver(
        body(*(status(f"wamid.{n}", "failed" if n < 5 else "sent", now, code=131026) for n in range(100)))
    )
    before = api.get("/v1/rules", role="viewer").json["rules"]
    assert {rule["last"] is None for rule in before} == {True}
    evaluate(engine, parse_rules(default_rules_text()), now)
    rules = {rule["name"]: rule for rule in api.get("/v1/rules", role="viewer").json["rules"]}
    rate = rules["failure-rate-per-code"]
    assert (rate["kind"], rate["keys"]["threshold"]) == ("rate", 0.02)
    assert "quiet_days" not in rate["keys"]
    assert rate["last"]["nearest"] == {"code": 131026, "phone_number_id": NUMBER}
    assert rate["last"]["closeness"] == pytest.approx(0.263, abs=0.001)
    assert rate["last"]["seen"].startswith("5 of 100 messages failed in 15 min")
    assert rules["own-work"]["last"]["groups"] == len(rules["own-work"]["keys"]["checks"])


def test_a_rules_file_is_tested_on_past_data(api, deliver, engine, now):
    failed = [status(f"wamid.{n}", "failed", now - timedelta(minutes=30), code=132015) for n in range(60)]
    deliver(body(*failed))
    answer = api.post("/v1/rules/backtest", json={"hours": 2}).json
    [incident] = answer["incidents"]
    assert (incident["failures"], incident["codes"]) == (60, [132015])
    assert "failure-rate-per-code" in {alert["rule"] for alert in incident["alerts"]}
    assert incident["messages"][0]["reason"] == "opened"
    assert "own-work" in answer["left_out"]
    assert (answer["suppressed"], answer["suppressions"]) == (0, [])


def test_an_invalid_file_is_refused_with_its_errors(api):
    text = '[[rule]]\nname = "a"\nkind = "rate"\nthreshold = 2\n'
    refused = api.post("/v1/rules/backtest", json={"rules": text})
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "bad_rules")
    assert "rules.toml:4: threshold" in refused.json["error"]["message"]
    assert api.post("/v1/rules/backtest", json={"hours": 1000}).status_code == 400
    assert api.post("/v1/rules/backtest", json={"rules": "#" * 40_001}).status_code == 400
    assert api.post("/v1/rules/backtest", role="viewer", json={}).status_code == 403
