"""The OpenAPI document is valid, complete, and agrees with the routes."""

import json
import re
from importlib.metadata import version

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from webhook_app.web.api import ENDPOINTS


@pytest.fixture
def document(client):
    response = client.get("/openapi.json")
    assert response.content_type == "application/json"
    return response.json


def test_the_document_is_valid_openapi_3_1(document):
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == version("webhook-app")


def test_every_route_is_documented_and_everything_documented_has_a_route(app, document):
    served = {
        (method, re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1/")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    documented = {(method.upper(), path) for path, held in document["paths"].items() for method in held}
    assert served == documented
    assert len(served) == len(ENDPOINTS)


def test_every_operation_has_a_summary_a_role_and_its_errors(document):
    for path, held in document["paths"].items():
        for operation in held.values():
            assert operation["summary"], path
            assert operation["security"][0]["key"][0] in ("sender", "viewer", "admin")
            assert {"200", "400", "401", "403", "503"} <= set(operation["responses"])
            assert ("{" in path) == ("404" in operation["responses"])
            assert ("requestBody" in operation) == ("413" in operation["responses"])
            placed = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert placed == set(re.findall(r"{(\w+)}", path))


def test_every_reference_points_to_a_schema(document):
    wanted = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert wanted <= set(document["components"]["schemas"])


def test_unknown_keys_are_refused_in_the_document_as_by_the_routes(document):
    for endpoint in ENDPOINTS:
        if endpoint.body:
            assert document["components"]["schemas"][endpoint.body.__name__]["additionalProperties"] is False
        for taken in (endpoint.query, endpoint.body):
            if taken:
                with pytest.raises(msgspec.ValidationError, match="unknown field"):
                    msgspec.convert({"colour": "red"}, taken)


def test_parameters_are_described_as_they_are_read(document):
    parameters = {p["name"]: p for p in document["paths"]["/v1/rates"]["get"]["parameters"]}
    assert parameters["window_minutes"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 129600,
        "default": 15,
    }
    assert parameters["group_by"]["explode"] is False
    assert parameters["template"]["schema"]["type"] == "string"
    assert not any(p["required"] for p in parameters.values())


def test_the_page_shows_every_operation_and_schema_without_scripts_or_external_files(client, document):
    response = client.get("/docs")
    assert response.status_code == 200
    for path, held in document["paths"].items():
        assert path in response.text
        for operation in held.values():
            assert f'id="{operation["operationId"]}"' in response.text
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in response.text
    links = set(re.findall(r'href="#([^"]+)"', response.text))
    assert links <= set(re.findall(r'id="([^"]+)"', response.text))
    assert "<script" not in response.text
    assert "http" not in re.sub(r"HTTP\w*|https?_status", "", response.text)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_the_page_has_its_own_style_sheet(client):
    sheet = re.search(r'href="([^"]+\.css)"', client.get("/docs").text)[1]
    response = client.get(sheet)
    assert response.status_code == 200
    assert response.mimetype == "text/css"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    response.close()
