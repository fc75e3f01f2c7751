"""Template and campaign are read from whatever form a sender gives its callback data."""

from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.receiving.callback_data import template_and_campaign

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60).map(str.strip)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("template=caf%C3%A9&campaign=black+friday%202026", ("café", "black friday 2026")),
        ("?template=a&campaign=b", ("a", "b")),
        ("campaign=b%26c%3Bd%3De&template=a", ("a", "b&c;d=e")),
        ("template=a", ("a", "")),
        ("campaign=black+friday", ("", "black friday")),
        ("tpl=a&campaign%5Fid=7", ("a", "7")),
        ("template=a&campaign=50%25+off", ("a", "50% off")),
        ("template=a&campaign=100%", ("a", "100%")),
        ("template=caf%E9&campaign=x", ("café", "x")),
        ("template=a%00b", ("ab", "")),
        ("template=a&template=b&order=1", ("b", "")),
        ("%7B%22template%22%3A%22a%22%2C%22campaign%22%3A%22b%20c%22%7D", ("a", "b c")),
        ("template=a;campaign=50%+x", ("a", "50%+x")),  # pairs that are no query string are not encoded
        ("template=a, campaign=b+c", ("a", "b+c")),
        ("template=a & campaign=b+c", ("a", "b+c")),
        ("template=é&campaign=b+c", ("é", "b+c")),
        ('{"template": "a+b", "campaign": "c%20d"}', ("a+b", "c%20d")),
        (' {"template": "a"}', ("a", "")),
        ("order 7", ("", "")),
        ("%", ("", "")),
        ("", ("", "")),
    ],
)
def test_every_form_is_read(text, found):
    assert template_and_campaign(text) == found


@given(TEXTS, TEXTS, st.sampled_from([quote, quote_plus]))
def test_a_query_string_gives_back_what_was_encoded(template, campaign, encode):
    text = urlencode({"template": template, "campaign": campaign}, quote_via=encode)
    assert template_and_campaign(text) == (template, campaign)
