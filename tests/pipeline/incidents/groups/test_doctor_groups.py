"""What doctor finds broken is an incident, told once; it ends when it is mended or Meta is not asked any more."""

from datetime import timedelta

import pytest

from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.accounts.doctor_check import Checked
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.accounts import doctor
from webhook_app.store.incidents import incidents, outbox

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RULES = [rule for rule in parse_rules(default_rules_text(), "default_rules.toml") if rule.kind == "health"]
FINE = Checked("token").ok("token", "The access token is valid.")
ENDING = Checked("token").warning(
    "token", "The access token is valid until Friday. Then sends fail.", "Make one.", 190
)
ELSEWHERE = Checked("app", "900100").broken("callback", "Webhooks go to https://old.example.", "Correct it.")
BANNED = Checked("number", "1060", "Acme").broken("number", "The number is BANNED.", "Appeal.", 131031)
CLOCK = Checked("service").warning("clock", "This machine's clock differs by 99 s.", "Synchronise it.")


@pytest.fixture
def look(engine, now):
    """Evaluate after a reading with these checks (None: no new one); returns the open incidents."""

    def run(minutes, *checks, read=True):
        at = now + minutes * MINUTE
        if read:
            with engine.begin() as connection:
                doctor.save(connection, [FINE, *checks], at)
        evaluate(engine, RULES, at)
        evaluate(engine, RULES, at + MINUTE)
        with engine.connect() as connection:
            return incidents.open_incidents(connection)

    return run


@pytest.mark.parametrize(
    ("fault", "severity"), [(ENDING, "error"), (ELSEWHERE, "critical"), (BANNED, "critical")]
)
def test_a_fault_is_one_incident_until_it_is_mended(engine, look, fault, severity):
    (opened,) = look(0, fault)
    assert opened.title.startswith(fault.message.rstrip("."))
    assert (opened.severity, opened.advice) == (severity, fault.fix)
    (still,) = look(60, fault)
    assert still.id == opened.id
    with engine.connect() as connection:
        assert outbox.backlog(connection)["log"].waiting == 1
    assert look(120) == []
    with engine.connect() as connection:
        assert incidents.get(connection, opened.id).ended_how == "recovered"


def test_what_harms_nobody_yet_wakes_nobody(look):
    assert look(0, CLOCK) == []


def test_a_fault_lasts_while_meta_cannot_be_asked_and_ends_after_a_day_without_a_reading(look):
    (opened,) = look(0, BANNED)
    assert [each.id for each in look(5 * 60, read=False)] == [opened.id]
    assert look(25 * 60, read=False) == []


def test_a_reading_without_faults_opens_nothing(look):
    assert look(0) == []
