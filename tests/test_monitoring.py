"""docs/monitoring.md, the Grafana dashboard and Prometheus' rules, held against /metrics of a real server."""

import json
import re
import shutil
import subprocess
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.faults.web_server import web_server
from tests.support.factories import NUMBER, body, status
from tests.support.folders import DOCS, ROOT
from webhook_app.scheduler.jobs import Job
from webhook_app.scheduler.leading import _run_job
from webhook_app.store.counts.lateness import BOUNDS_S
from webhook_app.store.incidents import alerts, outbox
from webhook_app.store.postgres.engine import make_engine
from webhook_app.store.postgres.leadership import Leadership

RULES = DOCS / "prometheus-alerts.yml"
CASES = ROOT / "tests" / "prometheus_rules.yml"
"""Unit tests of the rules: each fires when it should, and only then."""
ROUNDS = 20
ADMIN_KEY = "an admin key of the test"
EXPRESSIONS = {
    f"rule {rule['alert']}": rule["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
} | {
    f"panel {panel['title']} {target['refId']}": target["expr"]
    for panel in json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]
    for target in panel.get("targets", ())
}


@pytest.fixture(scope="module")
def served(database, tmp_path_factory):
    """The families of ours that two workers and a scheduler serve once all has happened that makes one appear."""
    with web_server(
        database.url, tmp_path_factory.mktemp("web"), workers=2, ADMIN_API_KEY=ADMIN_KEY
    ) as server:
        yield {each.name: each for each in text_string_to_metric_families(_all_happens(server, database.url))}
    database.empty()


def _all_happens(server, url):
    now, engine = datetime.now(UTC), make_engine(url, application="tests", pool_size=0)
    sent = now - timedelta(minutes=3)
    assert server.post(body(status("wamid.0", "sent", sent)), "X-Hub-Signature-256: sha256=0") == 401
    for number in range(ROUNDS):
        failed = status(f"wamid.{number}", "failed", sent, code=131026)
        assert server.post(body(status(f"wamid.{number}", "sent", sent), failed)) == 200
    with engine.begin() as connection:
        plain = {"rule": "r", "kind": "rate", "severity": "warning", "group": {}, "codes": [131026]}
        plain |= {"covers_from": now, "started_at": now, "evaluated_at": now}
        fired = alerts.insert_new(connection, alerts.Alert(state="firing", **plain))
        outbox.add(connection, fired, "slack", "fired", {}, now)
        minute = now.replace(second=0, microsecond=0) - timedelta(minutes=1)
        row = {"minute": minute, "lags": [1] + [0] * len(BOUNDS_S)}
        connection.execute(
            text("INSERT INTO lateness (minute, events, lags) VALUES (:minute, 1, :lags)"), row
        )
    leader = Leadership(url)
    assert leader.acquire()
    for divisor in (0, 1):
        _run_job(engine, leader, Job("evaluate", 15, lambda _, by=divisor: 1 // by), threading.Event())
    leader.release()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{server.port}", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    ) as client:
        report = {"contact": "+12025550117", "message_id": "wamid.silent", "phone_number_id": NUMBER}
        report |= {"sent_at": (now - timedelta(hours=2)).isoformat()}
        assert client.post("/v1/sends", json={"sends": [report]}).status_code == 200
        assert client.post("/v1/check", json={"contacts": ["+12025550117"]}).status_code == 200
        judged = {"phone_number_id": "1", "messages": [{}]}
        assert client.post("/v1/preflight", json=judged).status_code == 200
        return client.get("/metrics").text


def samples(families, name):
    return [each for family in families.values() for each in family.samples if each.name == name]


def test_two_workers_and_the_scheduler_are_added_up(served):
    assert sum(each.value for each in samples(served, "webhook_app_deliveries_total")) == ROUNDS
    assert sum(each.value for each in samples(served, "webhook_app_items_total")) == 2 * ROUNDS
    runs = {each.name: each.value for each in samples(served, "webhook_app_scheduler_runs_total")}
    runs |= {each.name: each.value for each in samples(served, "webhook_app_scheduler_failures_total")}
    assert runs == {"webhook_app_scheduler_runs_total": 2, "webhook_app_scheduler_failures_total": 1}
    assert all(set(each.labels) == set() for each in samples(served, "webhook_app_ingest_queue_ratio"))


def table(families):
    """The rows of docs/monitoring.md."""
    rows = []
    for name, family in sorted(families.items()):
        labels = sorted({label for each in family.samples for label in each.labels} - {"le"})
        shown = name + ("_total" if family.type == "counter" else "")
        marked = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{shown}` | {family.type} | {marked} | {family.documentation} |")
    return rows


def test_the_table_lists_every_metric_as_it_is_served(served):
    page = (DOCS / "monitoring.md").read_text()
    written = [line for line in page.splitlines() if line.startswith("| `webhook_app_")]
    wanted = table(served)
    assert written == wanted, "the table should be:\n" + "\n".join(wanted)


def test_names_follow_the_conventions_of_prometheus(served):
    for name, family in served.items():
        assert name.startswith("webhook_app_")
        assert family.samples, f"{name} never appeared"
        assert family.documentation
        labels = {label for each in family.samples for label in each.labels}
        assert not labels & {"job", "instance"}, "Prometheus would rename them"
        if family.type == "histogram":
            assert name.endswith("_seconds")


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_an_expression_names_only_what_is_served(served, place):
    expression = EXPRESSIONS[place]
    names = set(re.findall(r"\bwebhook_app_\w+", expression))
    assert names or "up{" in expression  # Prometheus' own metric of each target
    for name in names:
        assert samples(served, name), name
    known = {label for name in names for each in samples(served, name) for label in each.labels}
    used = set(re.findall(r"[{,]\s*(\w+)\s*[=!]", expression))
    used |= {
        label
        for group in re.findall(r"(?:by|ignoring) \(([^)]*)\)", expression)
        for label in group.split(", ")
    }
    assert used <= known | {"job", "instance"}
    for label, value in re.findall(r'(\w+)="([^"]*)"', expression):
        if label != "status":
            assert value in {each.labels.get(label) for name in names for each in samples(served, name)}


def test_the_dashboard_shows_every_metric(served):
    shown = " ".join(expression for place, expression in EXPRESSIONS.items() if place.startswith("panel"))
    names = {name + ("_total" if family.type == "counter" else "") for name, family in served.items()}
    assert names - {re.sub("_bucket$", "", each) for each in re.findall(r"webhook_app_\w+", shown)} == set()


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_an_expression_is_closed_in_itself(place):
    opened = []
    for sign in re.sub(r'"[^"]*"', "", EXPRESSIONS[place]):
        if sign in "([{":
            opened.append({"(": ")", "[": "]", "{": "}"}[sign])
        elif sign in ")]}":
            assert opened.pop() == sign
    assert not opened


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool comes with Debian's package prometheus"
)
def test_prometheus_itself_can_read_every_expression(tmp_path):
    rules = [{"record": f"r:{n}", "expr": text} for n, text in enumerate(EXPRESSIONS.values())]
    every = tmp_path / "every.yml"
    every.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    for path in (RULES, every):
        done = subprocess.run(
            ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_dashboard_can_be_imported_anywhere():
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "job"]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    cells = [
        (panel["gridPos"]["y"] + y, panel["gridPos"]["x"] + x)
        for panel in panels
        for y in range(panel["gridPos"]["h"])
        for x in range(panel["gridPos"]["w"])
    ]
    assert len(set(cells)) == len(cells), "panels lie on each other"
    assert max(x for _, x in cells) < 24


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool comes with Debian's package prometheus"
)
def test_every_rule_passes_its_unit_tests():
    done = subprocess.run(
        ["promtool", "test", "rules", CASES], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_firing_and_a_silent_case():
    results: dict[str, set[bool]] = defaultdict(set)
    for group in yaml.safe_load(CASES.read_text())["tests"]:
        for case in group["promql_expr_test"]:
            found = re.search(r'alertname="(\w+)"', case["expr"])
            assert found
            results[found[1]].add(bool(case["exp_samples"]))
    rules = [
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    assert results == {rule: {True, False} for rule in rules}
