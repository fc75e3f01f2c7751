"""Keys of alerts and findings fit into their indexes, and different ones stay different."""

from webhook_app.rules.incidents.index_keys import MAX_KEY_BYTES, index_key


def test_a_key_is_json_that_does_not_depend_on_the_order():
    assert index_key({"b": "ü", "a": 1}) == index_key({"a": 1, "b": "ü"}) == '{"a":1,"b":"ü"}'


def test_a_long_key_is_a_hash_and_different_ones_stay_different():
    names = ["\U00020000" * 600 + last for last in "ab"]
    one, other = (index_key({"template": name}) for name in names)
    assert one != other
    assert max(len(one), len(other)) < 100
    assert len(index_key({"template": "\x01" * 400}).encode()) <= MAX_KEY_BYTES, "JSON escapes take six bytes"
