"""All endpoints: requests generated from the OpenAPI document get no 5xx and no undocumented answer."""

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.factories import body, message, status
from webhook_app.web.api import ENDPOINTS

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 12
SHORT = 0.2


def shorten(case: Any) -> None:
    """Let a backtest judge minutes: days answer alike and take seconds each. Hours that are refused stay."""
    if not case.operation.path.endswith("/backtest"):
        return
    body = {} if case.body is NOT_SET else case.body
    hours = body.get("hours", 24.0) if isinstance(body, dict) else None
    if isinstance(hours, int | float) and SHORT < hours <= 168:
        case.body = body | {"hours": SHORT}


@pytest.fixture
def schema(app: Flask, api: Any, deliver: Any, now: Any) -> Any:
    """The document of an application that has something to tell of."""
    deliver(body(status("wamid.A", "sent", now), status("wamid.B", "failed", now, code=131026)))
    deliver(body(messages=[message("wamid.I", now)]))
    error = {"code": 190, "error_subcode": 463, "message": "expired", "fbtrace_id": "A"}
    api.post("/v1/sends", json={"sends": [{"contact": "+12025550117", "error": error}]})
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_a_documented_one(schema, operator, endpoint, mode):
    operation = schema[endpoint.path][endpoint.method]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def allowed(case: Any) -> None:
        shorten(case)
        case.call_and_validate(headers=operator, checks=CHECKS)

    allowed()
