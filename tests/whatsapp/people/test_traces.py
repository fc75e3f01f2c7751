"""A person is found by every variant and inside message ids, and removed without affecting others."""

import json
import re
from base64 import b64decode, b64encode
from itertools import pairwise
from time import process_time, thread_time
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.factories import NUMBER, body, message, status
from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.people.traces import Traces
from webhook_app.whatsapp.receiving.payload import parse

PERSON = "12025550117"
OTHER = "12025550118"


def wamid(number: str, before: str = "", after: str = "x" * 9) -> str:
    return "wamid." + b64encode(f"{before}\x1d\x0b{number}\x15{after}".encode()).decode()


@given(
    st.text("ab", max_size=5),
    st.text("cd", min_size=1, max_size=5),
    st.from_regex("[1-9][0-9]{9,14}", fullmatch=True),
)
def test_a_number_is_found_at_any_position_in_a_message_id(before, after, number):
    assert Traces([number]).in_text(wamid(number, before, after))
    assert not Traces([number]).in_text(wamid("9" * 5 + "1" * 5, before, after)) or number in "9999911111"


def test_message_ids_of_the_samples_contain_their_numbers():
    """The premise: decoded ids contain the number as plain digits."""
    found = 0
    for path in sorted(PAYLOADS.rglob("*.json")):
        for encoded in re.findall(r"wamid\.([A-Za-z0-9+/=]{24,})", path.read_text()):
            digits = re.search(rb"[1-9][0-9]{9,14}", b64decode(encoded + "=" * (-len(encoded) % 4)))
            if digits:
                assert Traces([digits[0].decode()]).in_text("wamid." + encoded)
                found += 1
    assert found > 0


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (PERSON, "+12025550117"),
        (PERSON, "User A changed from 12025550117 to 12025550118"),
        ("5511987654321", "551187654321"),
        ("551187654321", "5511987654321"),
        ("5491123456789", "541123456789"),
        ("525512345678", "5215512345678"),
        ("US.70411938265500174423", "US.70411938265500174423"),
        ("US.70411938265500174423", "asked by us.70411938265500174423"),
        ("US.7041abc9", "Us.7041ABC9"),
        *((PERSON, text) for text in ("u12025550117", "12025550117x", "1_202_555_0117", "1,202,555,0117")),
        *((PERSON, text) for text in ("1·202·555·0117", "1*202*555*0117", "1\u200b202\u2060555\ufeff0117")),
        *(
            (PERSON, text)
            for text in (
                "011 1 202 555 0117",
                "phone=%2B1%20202%20555%200117",
                "a=1%2012025550117",
                "+1 (0)2025550117",
            )
        ),
        *(
            (PERSON, text)
            for text in ("١٢٠٢٥٥٥٠١١٧", "+۱۲۰۲ ۵۵۵ ۰۱۱۷", "१२०२५५५०११७", "１２０２５５５０１１７")
        ),
        *(
            (PERSON, text)
            for text in ("1%C2%A0202%C2%A05550117", "1%2520202-5550117", "1&nbsp;202&nbsp;5550117")
        ),
        (PERSON, "\U0001e951\U0001e952\U0001e950\U0001e952\U0001e955\U0001e955\U0001e955\U0001e950117"),
    ],
)
def test_every_variant_is_found(key, text):
    assert Traces([key]).in_text(text)
    assert Traces([key]).in_json(json.dumps({"a": [text]}))


@pytest.mark.parametrize("key", [PERSON, "US.70411938265500174423"])
@given(data=st.data())
def test_what_is_found_in_a_text_is_found_in_json_and_by_the_pattern_of_the_database(key, data):
    signs = st.sampled_from(
        ("", "", " ", "-", "(", ")", "%20", "%2F", "%28", "(0)", "\n", "\t", "&nbsp;", "\\", "+")
    )
    between = st.lists(signs, max_size=3).map("".join)
    spelled = data.draw(st.sampled_from((key, key.lower())))
    if key == PERSON:
        spelled = "".join(each + data.draw(between) for each in key)
    text = data.draw(between) + spelled + data.draw(between)
    traces = Traces([key])
    if traces.in_text(text):
        for asciified in (False, True):
            assert traces.in_json(json.dumps({"a": text}, ensure_ascii=asciified))
            assert traces.in_json(json.dumps({"a": json.dumps({"b": text})}))
        assert re.search(traces.pattern, normalize("NFKC", text))
        assert re.search(traces.pattern, normalize("NFKC", json.dumps({"a": text}, ensure_ascii=False)))


@pytest.mark.parametrize("text", ["912025550117", "120255501171", OTHER, "", "US.704", "1202555x0117"])
def test_others_are_not_found(text):
    assert not Traces([PERSON, "US.70411938265500174423"]).in_text(text)


def test_only_the_person_s_items_are_removed_from_a_body():
    mine = [
        status("wamid.A", "sent"),
        status(wamid(PERSON), "read", recipient=""),
        status("wamid.M", recipient=""),
    ]
    others = [
        status("wamid.B", "sent", recipient=OTHER),
        status(wamid(OTHER), "failed", recipient=OTHER, code=131026),
    ]
    contacts = [{"wa_id": PERSON, "profile": {"name": "N"}}, {"wa_id": OTHER}]
    inbound = [message("wamid.IN", sender=PERSON, text="hello"), message("wamid.IN2", sender=OTHER)]
    raw = body(mine[0], others[0], *mine[1:], others[1], messages=inbound, contacts=contacts)
    kept = Traces([PERSON], ["wamid.M"]).without(raw)
    assert kept is not None
    assert parse(kept) == parse(body(*others, messages=inbound[1:], contacts=contacts[1:]))


def test_a_body_of_others_stays_byte_for_byte():
    raw = b' {"object" : "x", "n": 1.0, "s": "\\/"} '
    assert Traces([PERSON]).without(raw) is raw


def test_ids_with_escaped_slashes_are_found():
    message_id = next(w for w in (wamid("48" + f"{n:09}", "?" * 3 + "~" * 2) for n in range(99)) if "/" in w)
    raw = body(status(message_id, recipient="")).replace(b"/", b"\\/")
    assert Traces(["1" * 9], [message_id]).without(raw) != raw


@pytest.mark.parametrize("raw", [b"no json " + PERSON.encode(), b'{"object":"' + PERSON.encode() + b'"}'])
def test_a_body_that_cannot_be_split_is_removed_completely(raw):
    assert Traces([PERSON]).without(raw) is None


@pytest.mark.parametrize(
    "made_up", ["statuses", "object", "failed", NUMBER, "summer_offer", "Message undeliverable", "renumbered"]
)
def test_an_id_of_another_form_than_meta_s_is_never_searched_as_text(made_up):
    raw = body(
        status("wamid.B", "failed", recipient=OTHER, code=131026), status("wamid.C", "sent", recipient=OTHER)
    )
    traces = Traces([PERSON], [made_up, "send:0123456789abcdef"])
    assert traces.without(raw) is raw
    assert not traces.in_text(made_up)
    assert traces.redacted([made_up, "send:0123456789abcdef"]) == [made_up, "erased"]


def test_redaction_keeps_the_structure():
    value = {"samples": [wamid(PERSON), "wamid.A", wamid(OTHER)], "n": 3, PERSON: None, "to": int(PERSON)}
    blanked = Traces([PERSON], ["wamid.A"]).redacted(value)
    assert blanked == {"samples": ["erased", "erased", wamid(OTHER)], "n": 3, "erased": None, "to": "erased"}


def test_without_keys_nothing_matches():
    assert not Traces([]).in_text("anything")


@pytest.mark.parametrize("before", [2**16 - 5, 2**16 + 2**12 - 5, 2**17 - 20, 200_000])
@pytest.mark.parametrize(
    "named", [PERSON, "1_202_555_0117", r"\u0031\u00322025550117"[:12] + PERSON[2:], wamid(PERSON)]
)
def test_a_person_is_found_anywhere_in_a_large_text(before, named):
    pauses = []
    text = json.dumps({"a": "x" * before, "b": "NAMED", "c": "y" * 2**17}).replace("NAMED", named)
    assert Traces([PERSON], pause=lambda: pauses.append(1)).in_json(text)
    assert len(pauses) >= before // 2**15
    assert not Traces([OTHER]).in_json(text)


@pytest.mark.parametrize("filling", ["\N{REPLACEMENT CHARACTER}1", '"', "wamid.M "])
def test_a_large_text_is_searched_with_pauses(filling):
    pauses = []
    traces = Traces([PERSON], ["wamid.M"], pause=lambda: pauses.append(1))
    large = filling * 200_000
    assert not traces.in_text(large)
    before = len(pauses)
    assert before > len(large) // 2**14
    assert not traces.in_json(json.dumps(large))
    assert len(pauses) >= 2 * before


@pytest.mark.parametrize("keys", [[PERSON], [PERSON, *(f"49171{n:07}" for n in range(99))]])
def test_between_two_pauses_a_text_that_is_long_in_normal_form_is_searched_for_milliseconds(keys):
    at = []
    text = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 16_000 + "    ".join(PERSON)
    traces = Traces(keys, pause=lambda: at.append(thread_time()))
    assert not traces.in_text(text)
    assert sorted(then - before for before, then in pairwise(at))[-3] < 0.1, "0.05 at a busy time"


def test_items_of_a_large_body_are_removed_with_pauses():
    pauses = []
    raw = body(
        status("wamid.A", recipient=OTHER, x=[{"y": "z"}] * 10_000), status("wamid.B", recipient=PERSON)
    )
    kept = Traces([PERSON], pause=lambda: pauses.append(1)).without(raw)
    assert kept is not None
    assert [event.message_id for event in parse(kept).statuses] == ["wamid.A"]
    assert len(pauses) > 10_000


def test_a_message_id_is_found_after_a_long_text():
    held = json.dumps({"text": "long " * 500, "id": "wamid.M", "odd": 'quotes "'})
    assert Traces(["1" * 9], ["wamid.M"]).in_json(held)
    assert not Traces(["1" * 9], ["wamid.MM", "wamid."]).in_json(held)


MANY_KEYS = {
    "numbers": [PERSON, *(f"1202556{each:04}" for each in range(99))],
    "user ids": [PERSON, *(f"US.{each:020}" for each in range(99))],
    "alike": [PERSON, *("US." + "A" * (50 + each) + "B" * (100 - each) for each in range(99))],
}


def seconds_without(keys, raw):
    traces, began = Traces(keys), process_time()
    traces.without(raw)
    return process_time() - began


@pytest.mark.parametrize("kind", MANY_KEYS)
@pytest.mark.parametrize("filling", ["1", '"12025561"', '"' + "    ".join(PERSON) + '"'])
def test_a_search_takes_no_longer_for_a_hundred_keys_than_for_one(kind, filling):
    raw = f'{{"x":"{PERSON}","changes":[{",".join([filling] * 20_000)}]}}'.encode()
    assert seconds_without(MANY_KEYS[kind], raw) < 4 * seconds_without([PERSON], raw) + 0.05


@pytest.mark.parametrize("kind", MANY_KEYS)
def test_each_of_a_hundred_keys_is_found(kind):
    keys, missed = MANY_KEYS[kind], MANY_KEYS[kind][50]
    every, others = Traces(keys), Traces([key for key in keys if key != missed])
    for key in keys:
        spelled = "-".join(key) if key.isdecimal() else key
        for text in (f"for {spelled}.", wamid(key)):
            assert every.in_text(text)
            assert re.search(every.pattern, text), "the database finds it too"
        assert others.in_text(f"for {spelled}.") == (key != missed)


@given(st.lists(st.text("012", min_size=7, max_size=9), min_size=1, max_size=8), st.text("012 ", max_size=30))
def test_keys_with_the_same_beginning_are_found_as_each_alone_is(keys, text):
    assert Traces(keys).in_text(text) == any(Traces([key]).in_text(text) for key in keys)
