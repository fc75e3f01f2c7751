"""An incident names the part where its failures are concentrated, if there is one."""

from datetime import datetime

from sqlalchemy import Engine

from tests.pipeline.incidents.evaluations import (
    BROKEN,
    PLATFORM,
    Evaluate,
    rule,
)
from tests.support.incidents import sent
from tests.support.traffic import Traffic


def test_the_campaign_that_fails_inside_a_large_number_is_named(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(4_000, now)
    traffic.failed(90, now, BROKEN, biz_opaque_callback_data='{"campaign": "blast"}')
    look(now, [rule(threshold=0.01)])
    [message] = sent(engine)
    assert message.slice is not None
    assert message.slice.values == {"campaign": ("blast",)}
    assert "blast" in message.title


def test_no_slice_is_named_when_everything_fails_alike(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    [message] = sent(engine)
    assert message.slice is None


def test_a_popular_template_is_not_named_for_being_popular(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    for template, size in (("popular", 9), ("rare", 1)):
        traffic.sent(size * 90, now, template=template)
        traffic.failed(size * 10, now, BROKEN, template=template)
    look(now, [rule()])
    assert [message.slice for message in sent(engine)] == [None]
