"""The Graph API of the demo's Meta, read by the service as the demo's week leaves it."""

from datetime import timedelta

from webhook_app.channels.slack import SlackWebhook
from webhook_app.demo.backfill import Backfill
from webhook_app.demo.meta import demo_account, graph_settings, serve_graph
from webhook_app.demo.week import week_before
from webhook_app.scheduler.jobs import load_rules, read_meta
from webhook_app.settings import read_settings
from webhook_app.simulator.messages import EVERYDAY, NUMBERS, SEASONAL_OFFER, WIN_BACK
from webhook_app.simulator.payloads import TimedChange, template_paused_change
from webhook_app.simulator.slack import SlackReceiver
from webhook_app.store.accounts import numbers, templates
from webhook_app.store.accounts.templates import TemplateFilters
from webhook_app.store.incidents import alerts
from webhook_app.whatsapp.accounts.template_answers import count_parameters

SECRET, PORT = "the secret of the app", "8000"
MINUTE = timedelta(minutes=1)


def test_the_first_reading_fills_names_and_templates_and_begins_or_ends_no_incident(
    engine, database_url, now
):
    week = week_before(now - 2 * MINUTE)
    paused_at = next(each.starts_at for each in week.incidents if each.phase.paused_template)
    pauses = [TimedChange(paused_at, NUMBERS[-1].waba_id, template_paused_change(SEASONAL_OFFER))]

    def alert_states():
        with engine.connect() as connection:
            return {(each.id, each.state) for each in alerts.list_alerts(connection, limit=100)}

    with SlackReceiver(show=lambda _: None) as slack, serve_graph(demo_account(SECRET, PORT)) as url:
        past = Backfill(engine, database_url, load_rules(None), {"slack": SlackWebhook(slack.url)})
        past.receive([*pauses, *week.notices], now - 2 * MINUTE)
        for at in (now - 2 * MINUTE, now - MINUTE):
            past.step(at)
        before, messages = alert_states(), len(slack.messages)
        assert messages > 0
        settings = graph_settings(url) | {
            "DATABASE_URL": database_url,
            "META_APP_SECRET": SECRET,
            "META_VERIFY_TOKEN": "the token of the webhook",
            "PUBLIC_URL": f"http://127.0.0.1:{PORT}",
        }
        checks = read_meta(engine, read_settings(settings), now)
        past.step(now + MINUTE)
        past.close()
        assert (alert_states(), len(slack.messages)) == (before, messages)
    assert {each.kind for each in checks if each.status != "ok"} == {"quality", "templates"}
    assert {each.subject for each in checks} == {"token", "app", "account", "number", "service"}
    with engine.connect() as connection:
        names = numbers.all_names(connection)
        found = templates.list_templates(connection, TemplateFilters(), 100)
    assert [names[number.phone_number_id] for number in NUMBERS] == [
        f"Acme +{number.display}" for number in NUMBERS
    ]
    sent = {(number.waba_id, template.name) for number in NUMBERS for template in (*dict(EVERYDAY), WIN_BACK)}
    assert {(each.waba_id, each.name) for each in found} == {each for each in sent if each[1]}
    parameters = {each.name: count_parameters(each.parts) for each in found}
    assert parameters == {"order_update": 3, "seasonal_offer": 2, "we_miss_you": 1, "login_code": 2}
