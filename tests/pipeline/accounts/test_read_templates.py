"""Templates of the Graph API: stored with their changes, kept when Meta is silent, and one state with webhooks."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.fake_graph import APP_ID, APP_SECRET, OURS, TOKEN, WABA, FakeGraph, error
from webhook_app.graph.client import GraphClient
from webhook_app.pipeline.accounts import read_templates
from webhook_app.pipeline.accounts.read_graph import examine
from webhook_app.rules.accounts.doctor_check import Expected
from webhook_app.store.accounts import doctor, health, templates
from webhook_app.store.accounts.health import HealthFilters
from webhook_app.store.accounts.templates import TemplateFilters

EDGE = f"{WABA}/message_templates"
ALL = TemplateFilters()


@pytest.fixture
def graph():
    with FakeGraph() as running:
        yield running


@pytest.fixture
def look(engine, graph, now):
    """Read once, `minutes` after now; returns the stored templates by name."""

    def run(minutes=0):
        client = GraphClient(TOKEN, app_secrets=[APP_SECRET], url=graph.url, sleep=lambda _: None)
        expected = Expected(app_id=APP_ID, callback_url=OURS)
        examine(engine, client, expected, now + timedelta(minutes=minutes))
        with engine.connect() as connection:
            return {each.name: each for each in templates.list_templates(connection, ALL, 10_000)}

    return run


@pytest.fixture
def history(engine):
    def read():
        with engine.connect() as connection:
            return [
                (each.name, each.aspect, each.before, each.value)
                for each in templates.list_changes(connection, ALL, 100)
            ]

    return read


@pytest.fixture
def reported(engine):
    """The states that rules judge: (aspect, value), the newest first."""

    def read():
        with engine.connect() as connection:
            found = health.history(connection, HealthFilters(template="order_ready"), 100)
            return [(each.aspect, each.value) for each in found]

    return read


@pytest.fixture
def webhook(engine, now):
    """Store a state that a webhook reported `minutes` after now."""

    def store(aspect, value, minutes=0, template_id="88001"):
        with engine.begin() as connection:
            connection.execute(
                text("""INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, waba_id, name,
                                                    language, received_at)
                        VALUES ('template', :id, :aspect, :at, :value, :waba, 'order_ready', 'en_US', :at)"""),
                {
                    "id": template_id,
                    "aspect": aspect,
                    "value": value,
                    "waba": WABA,
                    "at": now + timedelta(minutes=minutes),
                },
            )

    return store


def test_the_first_reading_stores_every_template_and_reports_nothing(graph, look, history, reported, now):
    graph.edges[EDGE] = [
        graph.template,
        graph.template | {"name": "old", "id": "88002", "status": "REJECTED"},
    ]
    found = look()
    assert (found["order_ready"].status, found["order_ready"].parts[0].parameters) == ("APPROVED", ("1", "2"))
    assert found["order_ready"].read_at == found["order_ready"].first_read_at == now
    assert found["old"].status == "REJECTED"
    assert (history(), reported()) == ([], [])


@pytest.mark.parametrize(
    ("change", "row", "told"),
    [
        ({"status": "PAUSED"}, ("status", "APPROVED", "PAUSED"), [("status", "PAUSED")]),
        ({"status": "REJECTED"}, ("status", "APPROVED", "REJECTED"), [("status", "REJECTED")]),
        ({"category": "MARKETING"}, ("category", "UTILITY", "MARKETING"), [("category", "MARKETING")]),
        ({"correct_category": "MARKETING"}, ("category_to_come", "", "MARKETING"), [("category_to_come", "MARKETING")]),
        ({"quality_score": {"score": "RED"}}, ("quality", "GREEN", "RED"), [("quality", "RED")]),
        ({"quality_score": {"score": "UNKNOWN"}}, ("quality", "GREEN", "UNKNOWN"), []),
        ({"components": [{"type": "BODY", "text": "Hi {{1}}"}]}, ("components", "body 2", "body 1"), []),
        ({"components": [{"type": "BODY", "text": "{{1}}: {{2}}"}]}, ("components", "body 2", "edited"), []),
    ],
)  # fmt: skip
def test_a_change_is_kept_and_a_problem_is_reported_once(graph, look, history, reported, change, row, told):
    look()
    graph.template.update(change)
    for minutes in (60, 120):
        look(minutes)
        assert history() == [("order_ready", *row)]
        assert reported() == told


def test_a_template_that_meta_no_longer_lists_is_kept_as_deleted_and_may_return(graph, look, history):
    look()
    graph.edges[EDGE] = []
    assert look(60)["order_ready"].status == "DELETED"
    graph.edges[EDGE] = [graph.template]
    assert look(120)["order_ready"].status == "APPROVED"
    assert [value for _, _, _, value in history()] == ["APPROVED", "DELETED"]


@pytest.mark.parametrize("template_id", ["88001", "order_ready/en_US"])
def test_what_a_webhook_reported_is_not_reported_again(graph, look, reported, webhook, template_id):
    look()
    webhook("status", "PAUSED", 30, template_id)
    graph.template["status"] = "PAUSED"
    look(60)
    assert reported() == [("status", "PAUSED")]
    graph.template["status"] = "APPROVED"
    look(120)
    assert reported() == [("status", "APPROVED"), ("status", "PAUSED")]


def test_a_state_of_a_webhook_counts_until_the_graph_says_otherwise(engine, look, reported, webhook):
    look()
    webhook("status", "PAUSED", 59)
    assert look(60)["order_ready"].status == "PAUSED"
    assert reported() == [("status", "PAUSED")]  # the Graph API may answer from an older copy
    assert look(120)["order_ready"].status == "APPROVED"
    webhook("quality", "RED", 130)
    with engine.connect() as connection:
        (found,) = templates.list_templates(connection, TemplateFilters(), 9)
    assert (found.status, found.quality) == ("APPROVED", "RED")


def test_a_warning_that_the_graph_cannot_show_stays(look, reported, webhook):
    look()
    webhook("status", "FLAGGED", 5)
    look(60)
    assert reported() == [("status", "FLAGGED")]


@pytest.mark.parametrize("answer", [error(500, 2, "away"), error(403, 200, "no"), error(429, 4, "limit")])
def test_what_meta_does_not_answer_keeps_what_was_known(engine, graph, look, history, answer):
    graph.template["status"] = "PAUSED"
    look()
    read = graph.answer
    graph.answer = lambda path, query, bearer: answer if path == EDGE else read(path, query, bearer)
    assert look(60)["order_ready"].status == "PAUSED"
    assert history() == []
    with engine.connect() as connection:
        assert any(each.code == answer[1]["error"]["code"] for each in doctor.list_checks(connection))


def test_doctor_says_which_templates_cannot_be_sent(engine, graph, look):
    graph.edges[EDGE] = [graph.template, graph.template | {"name": "spring", "status": "PAUSED"}]
    look()
    with engine.connect() as connection:
        (found,) = [each for each in doctor.list_checks(connection) if each.kind == "templates"]
    assert (found.status, found.code) == ("warning", 132015)
    assert found.message == "1 of 2 templates cannot be sent: 1 PAUSED (spring)."


def test_calls_that_are_nearly_used_up_leave_templates_for_later(graph, look):
    graph.headers = {"X-App-Usage": '{"call_count":80}'}
    assert look() == {}
    graph.headers = {}
    assert list(look(60)) == ["order_ready"]


def test_many_templates_are_read_in_pages_and_again_after_hours(graph, look, monkeypatch):
    monkeypatch.setattr(read_templates, "_LARGE", 200)
    graph.page_size = 100
    graph.edges[EDGE] = [graph.template | {"name": f"t{n}", "id": str(n)} for n in range(300)]
    assert len(look()) == 300
    asked = len(graph.requests)
    assert asked <= 10
    graph.edges[EDGE][0] = graph.edges[EDGE][0] | {"status": "PAUSED"}
    assert look(60)["t0"].status == "APPROVED"
    assert len(graph.requests) - asked < asked
    assert look(6 * 60)["t0"].status == "PAUSED"


def test_odd_names_stop_nothing(graph, look):
    odd = ["a\0b", "x" * 5000, 7, None, "a b", "ü" * 512]
    graph.edges[EDGE] = [*({"name": each, "language": "en"} for each in odd), 5, graph.template]
    assert list(look()) == ["7", "ab", "order_ready", "x" * 512]
