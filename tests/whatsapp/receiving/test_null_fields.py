"""A field that is null means the same as one that is absent."""

import json
from collections import defaultdict

import pytest
from msgspec.structs import replace

from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.receiving.payload import parse_any

SAMPLES = sorted(PAYLOADS.glob("*.json"))


def _objects(value, place=()):
    """Each object in the value with its place, which is the same for all items of a list."""
    if isinstance(value, dict):
        yield place, value
        for key, inner in value.items():
            yield from _objects(inner, (*place, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner, place)


def _load(path):
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


KEYS = defaultdict(set)  # that the objects at a place have in any sample
for _path in SAMPLES:
    for _place, _object in _objects(_load(_path)):
        KEYS[_place].update(_object)


def _parsed(document):
    """What is read of the document, without the copies of its text."""
    found = parse_any(json.dumps(document).encode())
    found.statuses[:] = [replace(each, errors_json="") for each in found.statuses]
    found.signals[:] = [replace(each, payload_json="", identity=b"") for each in found.signals]
    found.unreadable[:] = [
        replace(each, item_json="", identity=b"", body=b"", document_json="") for each in found.unreadable
    ]
    return found


@pytest.mark.parametrize("without_field", [False, True])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_null_beside_the_fields_of_a_sample_changes_nothing(path, without_field):
    document = _load(path)
    for place, each in list(_objects(document)):
        if without_field and place == ("entry", "changes"):
            each.pop("field", None)
    expected = _parsed(document)
    changed = []
    for place, each in list(_objects(document)):
        for key in sorted(KEYS[place] - each.keys()):
            each[key] = None
            if _parsed(document) != expected:
                changed.append((*place, key))
            del each[key]
    assert not changed
