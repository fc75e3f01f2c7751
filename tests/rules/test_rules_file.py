"""Rules files, good and bad: every fault is found at once, with its line and key."""

import re
from pathlib import Path

import pytest

from webhook_app.rules.alerting import Rule
from webhook_app.rules.rule_keys import LATER_KINDS, checks
from webhook_app.rules.rules_file import KNOWN_CHANNELS, RulesFileError, default_rules_text, parse_rules

DOCS = Path(__file__).parents[2] / "docs" / "rules.md"

SMALLEST = '[[rule]]\nname = "a"\nkind = "rate"\nthreshold = 0.02\n'


def faults(text, **options):
    with pytest.raises(RulesFileError) as raised:
        parse_rules(text, **options)
    return str(raised.value).splitlines()


def test_the_shipped_default_watches_each_code_and_number_and_serious_trouble():
    per_code, severe = parse_rules(default_rules_text(), "default_rules.toml")
    assert per_code == Rule(
        name="failure-rate-per-code",
        kind="rate",
        classes=("broken", "unreachable"),
        group_by=("code", "phone_number_id"),
        window_minutes=15,
        threshold=0.02,
        min_attempts=50,
        min_failures=10,
        confidence=0.999,
        for_evaluations=2,
        resolve_below=0.015,
        resolve_after_evaluations=4,
        severity="warning",
        repeat_hours=4,
        channels=("slack",),
    )
    assert (severe.group_by, severe.classes) == (("phone_number_id",), ("broken",))
    assert (severe.threshold, severe.severity) == (0.10, "critical")


def test_the_keys_of_the_first_shipped_rule_are_all_the_keys_there_are_but_the_other_selectors():
    first = re.split(r"^\[\[rule\]\]$", default_rules_text(), flags=re.MULTILINE)[1]
    written = set(re.findall(r"^(\w+) =", first, re.MULTILINE))
    assert written | {"codes", "domains"} == set(Rule.__struct_fields__)


def test_every_field_of_a_rule_has_a_check_and_every_check_a_field():
    assert tuple(checks(KNOWN_CHANNELS)) == Rule.__struct_fields__


def test_the_smallest_rule_gets_the_documented_defaults():
    (rule,) = parse_rules(SMALLEST)
    assert rule.resolve_below == pytest.approx(0.015)
    assert rule == Rule(name="a", threshold=0.02, resolve_below=rule.resolve_below)
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", DOCS.read_text("utf-8"), re.MULTILINE))
    documented = "\n".join(f"{key} = {value}" for key, value in told.items())
    assert set(told) == set(Rule.__struct_fields__) - {
        "name",
        "kind",
        "threshold",
        "codes",
        "classes",
        "domains",
        "resolve_below",
    }
    assert parse_rules(SMALLEST + documented) == (rule,)


def test_the_examples_of_the_page_are_valid_rules():
    examples = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(examples) >= 3
    assert all(parse_rules(example) for example in examples)


def test_rules_keep_the_order_of_the_file():
    text = SMALLEST + SMALLEST.replace('"a"', '"b"')
    assert [rule.name for rule in parse_rules(text)] == ["a", "b"]


def test_whole_numbers_do_for_shares_and_hours():
    (rule,) = parse_rules(SMALLEST + "confidence = 0\nrepeat_hours = 4\n")
    assert (rule.confidence, rule.repeat_hours) == (0.0, 4.0)


def test_the_limits_themselves_are_allowed():
    text = SMALLEST + (
        "window_minutes = 1440\nmin_attempts = 1\nmin_failures = 1\nfor_evaluations = 1\n"
        "resolve_after_evaluations = 1\nresolve_below = 0.02\nrepeat_hours = 0.25\n"
        'group_by = []\nchannels = []\ncodes = [-1, 0, 250]\nrunbook = "https://wiki.example.org/whatsapp"\n'
    )
    (rule,) = parse_rules(text)
    assert (rule.group_by, rule.channels, rule.codes) == ((), (), (-1, 0, 250))


def test_windows_line_ends_and_a_byte_order_mark_are_read_and_keep_the_lines():
    text = "\ufeff" + SMALLEST.replace("\n", "\r\n")
    assert parse_rules(text) == parse_rules(SMALLEST)
    assert faults(text.replace("0.02", "2"))[0].startswith("rules.toml:4: threshold: ")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("window_minutes = 0", "window_minutes: must be a whole number from 1 to 1440, is 0"),
        ("window_minutes = 1441", "window_minutes: must be a whole number from 1 to 1440, is 1441"),
        ("window_minutes = 15.0", "window_minutes: must be a whole number from 1 to 1440, is 15.0"),
        ("window_minutes = true", "window_minutes: must be a whole number from 1 to 1440, is true"),
        ("min_attempts = 0", "min_attempts: must be a whole number from 1 to 1000000, is 0"),
        ('min_failures = "5"', "min_failures: must be a whole number from 1 to 1000000, is '5'"),
        ("confidence = 1", "confidence: must be at least 0 and below 1, is 1"),
        ("confidence = -0.1", "confidence: must be at least 0 and below 1, is -0.1"),
        ("confidence = nan", "confidence: must be at least 0 and below 1, is nan"),
        ("for_evaluations = 0", "for_evaluations: must be a whole number from 1 to 1000, is 0"),
        (
            "resolve_after_evaluations = [4]",
            "resolve_after_evaluations: must be a whole number from 1 to 1000, is [4]",
        ),
        ("resolve_below = 0", "resolve_below: must be above 0 and at most the threshold, is 0"),
        ("resolve_below = 0.03", "resolve_below: must be at most the threshold, 0.02, is 0.03"),
        (
            'severity = "warn"',
            "severity: must be one of info, warning, error, critical, is 'warn' (did you mean warning?)",
        ),
        ("severity = []", "severity: must be one of info, warning, error, critical, is []"),
        ("repeat_hours = 0", "repeat_hours: must be a number from 0.25 to 168, is 0"),
        ("repeat_hours = inf", "repeat_hours: must be a number from 0.25 to 168, is inf"),
        ('channels = ["slak"]', "channels: 'slak' is not one of log, slack (did you mean slack?)"),
        ('channels = "slack"', "channels: must be a list in square brackets, is 'slack'"),
        (
            'group_by = ["number"]',
            "group_by: 'number' is not one of code, phone_number_id, waba_id, template, campaign, country",
        ),
        ('group_by = ["code", "code"]', "group_by: has 'code' more than once"),
        ('classes = ["dead"]', "classes: 'dead' is not one of broken, withheld, unreachable"),
        ("classes = []", "classes: must not be an empty list; leave the key out instead"),
        ("codes = [999999]", "codes: 999999 is not a known error code"),
        ("codes = [1.5]", "codes: must hold whole numbers, has 1.5"),
        ("codes = [true]", "codes: must hold whole numbers, has true"),
        (
            'runbook = "javascript:x"',
            "runbook: must be empty or a web address that begins with https:// or http://, is 'javascript:x'",
        ),
        ("treshold = 0.1", "treshold: kind 'rate' does not use this key (did you mean threshold?)"),
        ("factor = 3", "factor: kind 'rate' does not use this key"),
        ("labels = {}", "labels: kind 'rate' does not use this key"),
        (
            "resolve_below = 2024-01-01",
            "resolve_below: must be above 0 and at most the threshold, is 2024-01-01",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_line_and_key(line, fault):
    assert faults(SMALLEST + "\n# a comment\n" + line + "\n") == [f"rules.toml:7: {fault}"]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("2", "must be above 0 and below 1, is 2"),
        ("0", "must be above 0 and below 1, is 0"),
        ("1.0", "must be above 0 and below 1, is 1.0"),
        ("nan", "must be above 0 and below 1, is nan"),
        ("true", "must be above 0 and below 1, is true"),
        ('"2 %"', "must be above 0 and below 1, is '2 %'"),
        ("9" * 400, f"must be above 0 and below 1, is {'9' * 57}…"),
    ],
)
def test_a_threshold_is_a_share(value, fault):
    assert faults(SMALLEST.replace("0.02", value)) == [f"rules.toml:4: threshold: {fault}"]


@pytest.mark.parametrize("name", ["", "  ", " a", "a\\nb", "a\\u0000", "a" * 101, "\\u202ea"])
def test_a_name_is_one_printable_line(name):
    (fault,) = faults(SMALLEST.replace('"a"', f'"{name}"'))
    assert fault.startswith("rules.toml:2: name: must be ")


def test_an_unknown_domain_is_named_among_the_known_ones():
    (fault,) = faults(SMALLEST + 'domains = ["template", "templat"]\n')
    assert fault.startswith("rules.toml:5: domains: 'templat' is not one of account, auth, ")
    assert fault.endswith("(did you mean template?)")


@pytest.mark.parametrize("kind", LATER_KINDS)
def test_a_kind_of_a_later_version_is_refused_by_name_and_its_own_keys_are_not_judged(kind):
    text = f'[[rule]]\nname = "a"\nkind = "{kind}"\nfactor = 3\n'
    assert faults(text) == [
        f"rules.toml:3: kind: kind '{kind}' is not available in this version (available: rate)"
    ]


def test_a_rule_of_a_later_kind_still_needs_its_name():
    assert faults('[[rule]]\nkind = "spike"\n')[0] == "rules.toml:1: name: is missing"


@pytest.mark.parametrize("kind", ['"rates"', "1", "[]", '""'])
def test_an_unknown_kind_is_refused(kind):
    (fault,) = faults(SMALLEST.replace('"rate"', kind))
    assert fault.startswith("rules.toml:3: kind: there is no kind ")
    assert fault.endswith("(available: rate)")


def test_missing_keys_have_the_line_of_their_rule():
    assert faults(SMALLEST + "\n[[rule]]\n") == [
        "rules.toml:6: kind: is missing",
        "rules.toml:6: name: is missing",
        "rules.toml:6: threshold: is missing",
    ]


def test_a_name_used_twice_names_both_lines():
    assert faults(SMALLEST + SMALLEST) == ["rules.toml:6: name: 'a' is already the rule in line 2"]


def test_all_faults_of_a_file_come_at_once_in_the_order_of_its_lines():
    text = """owner = "ops"
[[rule]]
name = "a"
kind = "rate"
classes = [
  "broken",   # right
  "dead",     # wrong
  "gone",     # wrong
]
threshold = 2

[[rule]]
name = "a"
kind = "spike"
severity = "loud"

[alerts]
threshold = 3
"""
    assert faults(text, source="my.toml") == [
        "my.toml:1: owner: is unknown here; a rules file holds only [[rule]] tables",
        "my.toml:5: classes: 'dead' is not one of broken, withheld, unreachable",
        "my.toml:5: classes: 'gone' is not one of broken, withheld, unreachable",
        "my.toml:10: threshold: must be above 0 and below 1, is 2",
        "my.toml:13: name: 'a' is already the rule in line 3",
        "my.toml:14: kind: kind 'spike' is not available in this version (available: rate)",
        "my.toml:15: severity: must be one of info, warning, error, critical, is 'loud'",
        "my.toml:17: alerts: is unknown here; a rules file holds only [[rule]] tables",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "rules.toml:1: rule: there is none, so nothing could ever raise an alert"),
        ("\nrule = []", "rules.toml:2: rule: there is none, so nothing could ever raise an alert"),
        ("\n[rule]\nname = 1", "rules.toml:2: rule: write [[rule]], in double brackets, above every rule"),
        ("rule = [1]", "rules.toml:1: rule: write [[rule]], in double brackets, above every rule"),
        ("[[rule]]\nname = a\n", "rules.toml:2: not valid TOML: Invalid value"),
        ("[[rule]]\nname =", "rules.toml:2: not valid TOML: Invalid value"),
        ('[[rule]]\nname = "a"\n\nname = "b"\n', "rules.toml:4: not valid TOML: Cannot overwrite a value"),
    ],
)
def test_a_file_of_another_shape_says_what_is_expected(text, fault):
    assert faults(text) == [fault]


def test_absurd_numbers_and_nesting_are_faults_like_any_other():
    assert "not valid TOML" in faults("x = " + "9" * 5000)[0]
    assert "not valid TOML" in faults("x = " + "[" * 100_000)[0]


def test_rules_in_one_inline_list_are_read_and_their_faults_have_its_line():
    first, second = (f'{{name = "{name}", kind = "rate", threshold = %s}}' for name in "ab")
    text = f"\nrule = [{first % 0.02}, {second}]"
    assert [rule.name for rule in parse_rules(text % "0.1")] == ["a", "b"]
    assert faults(text % "3") == ["rules.toml:2: threshold: must be above 0 and below 1, is 3"]


def test_the_channels_a_rule_may_name_are_the_callers():
    text = SMALLEST + 'channels = ["pagerduty"]\n'
    assert parse_rules(text, known_channels=frozenset({"pagerduty"}))[0].channels == ("pagerduty",)
    assert len(faults(text)) == 1


def test_the_error_carries_its_faults_as_values():
    with pytest.raises(RulesFileError) as raised:
        parse_rules(SMALLEST.replace("0.02", "2"))
    (fault,) = raised.value.faults
    assert (fault.line, fault.key) == (4, "threshold")
