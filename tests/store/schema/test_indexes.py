"""No text from outside can be too long for an index: an entry holds 2704 bytes, and a longer one stops its job."""

import json
import random
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Text, UniqueConstraint, text

from tests.support.factories import body, handed_over, handover, message, status
from tests.support.folders import PAYLOADS
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.incidents.index_keys import MAX_KEY_BYTES
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.rules.suppressions.opt_in_files import MAX_CHANNEL
from webhook_app.store.schema import metadata
from webhook_app.whatsapp.accounts.health_signals import FIELDS

_ID, _KEY, _NUMBER, _NAME, _WORD, _OURS = 512, 160, 256, 800, 400, 40
LONGEST = {  # bytes, by column; by table and column where it differs
    **dict.fromkeys(("message_id", "sent_message_id"), _ID),
    **dict.fromkeys(("contact", "user_id", "old_contact", "new_contact", "given"), _KEY),
    **dict.fromkeys(("phone_number_id", "waba_id", "category"), _NUMBER),
    **dict.fromkeys(("template", "campaign"), _NAME),
    **dict.fromkeys(("country", "keyword", "reason", "scope", "subject", "state", "job", "kind"), _OURS),
    **dict.fromkeys(("channel", "status", "value", "display_phone_number", "source"), _OURS),
    "rule": 400,  # 100 characters, see rules/incidents/rules_file/rule_keys.py
    "participant": 640,
    "reported_by": 400,
    "claim": 800,
    "batch": 2000,  # of an API call, at most 500 characters
    ("suppressions", "phone_number_id"): 2000,  # of an API call
    ("suppression_changes", "phone_number_id"): 2000,
    ("backtest_people", "phone_number_id"): 2000,
    ("clock_repairs", "status"): 300,
    ("clock_repairs", "raw_timestamp"): 330,
    ("alerts", "group_key"): MAX_KEY_BYTES,
    ("findings", "key"): MAX_KEY_BYTES,
    "subject_id": 600,
    ("health_changes", "aspect"): _WORD,
    ("health_changes", "value"): _WORD,
    ("meta_templates", "name"): 512,  # ASCII, see whatsapp/accounts/template_answers.py
    ("meta_templates", "language"): 512,
    ("template_changes", "name"): 512,
    ("template_changes", "language"): 512,
    ("template_changes", "aspect"): _OURS,
    ("handovers", "owner"): 160,
    ("opt_ins", "actor"): 400,
    ("opt_ins", "channel"): 4 * MAX_CHANNEL,
}
RANDOM = random.Random(1)


def long(characters: int = 700) -> str:
    """A text of four bytes a character, which does not compress."""
    return "".join(chr(RANDOM.randrange(0x20000, 0x2A000)) for _ in range(characters))


def indexed() -> Iterator[tuple[str, str, list[Column[Any]]]]:
    """Every btree of the schema that has a text among its columns, with its table."""
    for table in metadata.sorted_tables:
        for held in (*table.indexes, *table.constraints):
            if isinstance(held, Index):
                columns = [each for each in held.expressions if isinstance(each, Column)]
                included = held.dialect_kwargs.get("postgresql_include") or []
                columns += [table.c[name] for name in included]
                is_btree = (held.dialect_kwargs.get("postgresql_using") or "btree") == "btree"
            else:
                is_btree = isinstance(held, PrimaryKeyConstraint | UniqueConstraint)
                columns = list(held.columns) if is_btree else []
            if is_btree and any(isinstance(each.type, Text) for each in columns):
                yield table.name, str(held.name or f"{table.name}_pkey"), columns


def longest(table: str, column: Column[Any]) -> int:
    """The bytes of the longest text that can come into the column."""
    found = LONGEST.get((table, column.name)) or LONGEST.get(column.name)
    assert found, f"say in LONGEST how long {table}.{column.name} can be: it is part of an index"
    return found


def test_every_index_holds_the_longest_texts_of_its_columns(connection):
    found = list(indexed())
    assert len(found) > 30
    for table, name, columns in found:
        texts = {each.name: longest(table, each) for each in columns if isinstance(each.type, Text)}
        types = ", ".join(f'"{n.name}" {"text" if n.name in texts else "bigint DEFAULT 0"}' for n in columns)
        names = ", ".join(f'"{column.name}"' for column in columns)
        values = ", ".join(f":{column}" for column in texts)
        filled = ", ".join(f'"{column}"' for column in texts)
        connection.execute(text(f'CREATE TEMPORARY TABLE "{name}" ({types})'))
        connection.execute(text(f'CREATE INDEX ON "{name}" ({names})'))
        longest_row = {column: long(size // 4) for column, size in texts.items()}
        connection.execute(text(f'INSERT INTO pg_temp."{name}" ({filled}) VALUES ({values})'), longest_row)


def replaced(value: Any, steering: tuple[str, ...], key: str = "") -> Any:
    """The value with a long text in the place of every text, except of these keys."""
    if isinstance(value, dict):
        return {name: replaced(item, steering, name) for name, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, steering, key) for item in value]
    return long() if isinstance(value, str) and key not in steering else value


def longest_signals() -> Iterator[dict[str, Any]]:
    """The changes of all samples about accounts, numbers and templates, with long texts."""
    seen: set[str] = set()
    for path in sorted(PAYLOADS.glob("*.json")):
        entries = json.loads(path.read_bytes()).get("entry", [])
        for change in (change for entry in entries for change in entry.get("changes", [])):
            if (field := change.get("field")) in FIELDS:
                value = replaced(change["value"], ("event", "entity_type"))
                yield change | {"value": value}
                if field not in seen:
                    yield change | {"value": replaced(change["value"], ("entity_type",))}
                    yield change | {"value": value | {"message_template_id": None}}
                seen.add(field)


def test_no_text_of_a_webhook_is_too_long_for_an_index_or_stops_the_evaluation(engine, writer, now):
    signals = [
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": long(), "time": int(now.timestamp()), "changes": [change]}],
        }
        for change in longest_signals()
    ]
    stored = [json.dumps(each, ensure_ascii=False).encode() for each in signals]
    callback = f"template={long(200)};campaign={long(200)}"
    about: dict[str, Any] = {"number": long(), "waba": long()}
    for place in range(100):
        told = {"biz_opaque_callback_data": callback, "code": 131026, "recipient": "12025550117"}
        stored.append(body(status(f"{long(127)}{place:04}", "failed", now, **told), **about))
    odd = status(long(128), "sent", long(), recipient_participant_id="\u0663" * 700, recipient_type="group")
    stored += [
        body(odd | {"pricing": {"category": long()}}, **about),
        body(messages=[message(long(128), now)], errors=[{"code": 1, "title": long()}], **about),
        handed_over(handover(at=long(), number=long(), role=long())),
    ]
    writer.store([Delivery(each) for each in stored], now)
    everything = ", ".join(
        f'"{name}"' for name in ("waba_id", "phone_number_id", "template", "campaign", "country", "code")
    )
    kinds = ("health", "tier", "rate")
    rules = parse_rules(
        "".join(
            f'[[rule]]\nname = "{"n" * 90}{kind}"\nkind = "{kind}"\nfor_evaluations = 1\n'
            + (f"group_by = [{everything}]\nthreshold = 0.1\n" if kind in COUNTING_KINDS else "")
            for kind in kinds
        )
    )
    evaluate(engine, rules, now)
    with engine.connect() as reading:
        assert reading.execute(text("SELECT count(*) FROM quarantine")).scalar_one() == 0
        assert {kind for (kind,) in reading.execute(text("SELECT kind FROM alerts"))} == {"health", "rate"}
        for table, column in {(table, each) for table, _, columns in indexed() for each in columns}:
            if isinstance(column.type, Text):
                most = text(f'SELECT coalesce(max(octet_length("{column.name}")), 0) FROM {table}')
                size = reading.execute(most).scalar_one()
                assert size <= longest(table, column), f"{table}.{column.name} has {size} bytes"
