"""Valid and invalid rules files: all faults are reported, each with its line and key."""

import re
from time import process_time

import pytest
from msgspec.structs import replace

from tests.support.folders import DOCS
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rule_keys import KINDS, checks
from webhook_app.rules.incidents.rules_file.rule_kinds import RULE_KINDS
from webhook_app.rules.incidents.rules_file.rules_file import (
    KNOWN_CHANNELS,
    MAX_TEXT,
    RulesFileError,
    default_rules_text,
    parse_rules,
)

RULES_PAGE = DOCS / "rules.md"

SMALLEST = '[[rule]]\nname = "a"\nkind = "rate"\nthreshold = 0.02\n'


def faults(text, **options):
    with pytest.raises(RulesFileError) as raised:
        parse_rules(text, **options)
    return str(raised.value).splitlines()


def test_the_shipped_default_watches_each_code_and_number_and_serious_trouble():
    shipped = parse_rules(default_rules_text(), "default_rules.toml")
    per_code, *others = shipped
    assert per_code == Rule(
        name="failure-rate-per-code",
        kind="rate",
        classes=("broken", "unreachable"),
        group_by=("code", "phone_number_id"),
        window_minutes=15,
        windows=(15, 60, 360, 1440, 10_080),
        threshold=0.02,
        min_attempts=0,
        min_failures=3,
        confidence=0.999,
        for_evaluations=2,
        resolve_below=0.015,
        resolve_after_evaluations=4,
        severity="warning",
        escalate_above=0.20,
        escalate_to="critical",
        repeat_hours=4,
        channels=("slack",),
    )
    levels = {rule.group_by: rule for rule in others if rule.kind == "rate" and rule.classes == ("broken",)}
    names = [("phone_number_id",), ("waba_id",), (), ("template",), ("campaign",), ("country",)]
    assert list(levels) == names, "what is too thin for one level shows at another"
    assert {rule.threshold for rule in levels.values()} == {0.02}
    assert {rule.windows for rule in levels.values()} == {(15, 60, 360, 1440)}
    assert {rule.kind for rule in shipped} == set(KINDS)


def test_the_first_shipped_rule_explains_every_key_of_its_kind_but_the_other_selectors():
    first = re.split(r"^\[\[rule\]\]$", default_rules_text(), flags=re.MULTILINE)[1]
    written = set(re.findall(r"^(?:# )?(\w+) =", first, re.MULTILINE))
    left_out = {"codes", "domains", "min_attempts", "min_failures"}
    assert written | left_out == set(RULE_KINDS["rate"].all_keys)


def test_the_routes_shown_in_the_shipped_file_are_valid():
    shown = default_rules_text().rpartition("adapt them.\n#\n")[2]
    routes = "\n".join(line.removeprefix("# ").removeprefix("#") for line in shown.splitlines())
    rules = parse_rules(SMALLEST + routes)
    assert [route.channels for route in rules[0].routes] == [("pagerduty", "slack"), ("email",)]


def test_every_key_has_a_check_and_belongs_to_a_kind():
    assert set(checks(KNOWN_CHANNELS)) == set(Rule.__struct_fields__) - {"routes", "own_channels", "windows"}
    assert {key for kind in RULE_KINDS.values() for key in kind.all_keys} == set(checks(KNOWN_CHANNELS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_rule_of_every_kind_is_valid_and_has_the_defaults_of_its_kind(kind):
    needed = "threshold = 0.02\n" if kind == "rate" else ""
    (rule,) = parse_rules(f'[[rule]]\nname = "a"\nkind = "{kind}"\n{needed}')
    assert {key: getattr(rule, key) for key in RULE_KINDS[kind].defaults} == RULE_KINDS[kind].defaults
    assert rule.checks == RULE_KINDS[kind].checks


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_refuses_the_keys_it_does_not_use(kind):
    values = {
        "codes": "[131026]",
        "threshold": "0.5",
        "min_attempts": "5",
        "quiet_days": "5",
        "factor": "5",
        "min_usual": "5",
        "min_count": "5",
        "checks": "[]",
        "max_minutes": "5",
        "window_minutes": "5",
    }
    for key, value in values.items():
        if key not in RULE_KINDS[kind].all_keys:
            text = f'[[rule]]\nname = "a"\nkind = "{kind}"\n{key} = {value}\n'
            refused = f"rules.toml:4: {key}: kind '{kind}' does not use this key"
            assert any(fault.startswith(refused) for fault in faults(text))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('kind = "health"\nchecks = ["colour"]', "4: checks: 'colour' is not one of quality, template,"),
        ('kind = "self"\nchecks = []', "4: checks: must not be an empty list"),
        ('kind = "attention"\ngroup_by = []', "4: group_by: kind 'attention' judges each code separately"),
        (
            'kind = "silence"\ngroup_by = ["template"]',
            "4: group_by: kind 'silence' can group by phone_number_id",
        ),
        ('kind = "spike"\nfactor = 1', "4: factor: must be a number from 1.1 to 1000, is 1"),
        ('kind = "self"\nlabels = {"a b" = "x"}', "4: labels: must hold short texts under names of letters"),
        (
            'kind = "undelivered"\nafter_minutes = 20',
            "4: after_minutes: must be one of 5, 15, 30, 60, is 20",
        ),
        (
            'kind = "slow"\nslow_seconds = true',
            "4: slow_seconds: must be one of 10, 30, 60, 120, 300, 900, is true",
        ),
        ('kind = "slow"\nafter_minutes = 15', "4: after_minutes: kind 'slow' does not use this key"),
        (
            'kind = "undelivered"\ngroup_by = ["code"]',
            "4: group_by: kind 'undelivered' counts no failures: leave code out",
        ),
        ('kind = "self"\nlabels = "x"', "4: labels: must be a table such as"),
    ],
)
def test_settings_that_a_kind_does_not_support_are_named(text, fault):
    assert any(fault in each for each in faults(f'[[rule]]\nname = "a"\n{text}\n'))


def test_routes_reach_the_rules_that_name_no_channels():
    text = SMALLEST + SMALLEST.replace('"a"', '"b"') + "channels = []\n"
    text += '[[route]]\nseverities = ["critical"]\nchannels = ["pagerduty"]\n'
    routed, own = parse_rules(text)
    assert [route.channels for route in routed.routes] == [("pagerduty",)]
    assert not routed.own_channels
    assert (own.own_channels, own.channels) == (True, ())


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ('channels = ["slak"]', "6: channels: 'slak' is not one of alertmanager, email,"),
        ('severities = ["critical"]', "5: channels: is missing"),
        (
            'channels = []\nseverity = "info"',
            "7: severity: a route does not have this key (did you mean severities?)",
        ),
        ('channels = []\nkinds = ["rates"]', "7: kinds: 'rates' is not one of rate,"),
        ('channels = []\nrules = ["b"]', "7: rules: there is no rule 'b'"),
        ("channels = []\ngo_on = 1", "7: go_on: must be true or false, is 1"),
    ],
)
def test_a_bad_route_is_named_with_its_line_and_key(route, fault):
    assert any(fault in each for each in faults(f"{SMALLEST}[[route]]\n{route}\n"))


def test_the_smallest_rule_gets_the_documented_defaults():
    (rule,) = parse_rules(SMALLEST)
    assert rule.resolve_below == pytest.approx(0.015)
    assert rule == Rule(name="a", threshold=0.02, resolve_below=rule.resolve_below)
    section = RULES_PAGE.read_text("utf-8").partition("### rate\n")[2].partition("\n###")[0]
    defaults = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", section, re.MULTILINE))
    documented = "\n".join(f"{key} = {value}" for key, value in defaults.items())
    assert set(defaults) == set(RULE_KINDS["rate"].all_keys) - {
        "name",
        "kind",
        "threshold",
        "codes",
        "classes",
        "domains",
        "resolve_below",
        "escalate_above",
    }
    assert parse_rules(SMALLEST + documented) == (replace(rule, own_channels=True),)


def test_the_page_documents_every_kind_with_its_defaults():
    page = RULES_PAGE.read_text("utf-8")
    for name, kind in RULE_KINDS.items():
        section = page.partition(f"### {name}\n")[2].partition("\n##")[0]
        defaults = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", section, re.MULTILINE))
        if name == "rate":
            continue
        header = f'[[rule]]\nname = "a"\nkind = "{name}"\n'
        documented = "".join(f"{key} = {value}\n" for key, value in defaults.items())
        assert set(defaults) | {"codes", "classes", "domains"} >= set(kind.keys) - {
            "resolve_below",
            "escalate_above",
        }, name
        assert parse_rules(header + documented) == parse_rules(header), name


def test_the_examples_of_the_page_are_valid_rules():
    examples = re.findall(r"```toml\n(.*?)```", RULES_PAGE.read_text("utf-8"), re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        assert parse_rules(example if "[[rule]]" in example else SMALLEST + example)


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


def test_a_list_of_windows_has_defaults_for_which_the_exact_bound_needs_no_minimum():
    (rule,) = parse_rules(SMALLEST + "window_minutes = [60, 15, 10080]\n")
    assert (rule.windows, rule.window_minutes) == ((15, 60, 10_080), 15)
    assert (rule.min_attempts, rule.min_failures) == (0, 3)
    (own,) = parse_rules(SMALLEST + "window_minutes = [15]\nmin_attempts = 20\nmin_failures = 7\n")
    assert (own.windows, own.min_attempts, own.min_failures) == ((15,), 20, 7)
    (single,) = parse_rules(SMALLEST + "window_minutes = 15\n")
    assert (single.windows, single.min_attempts, single.min_failures) == ((), 50, 10)


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        ("rate", "[]", "must not be an empty list; leave the key out instead"),
        ("rate", "[15, 15]", "has 15 more than once"),
        ("rate", "[0]", "must be a whole number from 1 to 10080, is 0"),
        ("rate", "[10081]", "must be a whole number from 1 to 10080, is 10081"),
        ("rate", '["15"]', "must be a whole number from 1 to 10080, is '15'"),
        ("rate", "[true]", "must be a whole number from 1 to 10080, is true"),
        ("rate", "[1, 2, 3, 4, 5, 6, 7, 8, 9]", "must have at most 8 windows, has 9"),
        (
            "spike",
            "[15, 60]",
            "kind 'spike' takes one window; only the kinds rate, undelivered and slow take a list",
        ),
        (
            "silence",
            "[30]",
            "kind 'silence' takes one window; only the kinds rate, undelivered and slow take a list",
        ),
    ],
)
def test_a_bad_list_of_windows_is_named_with_its_line_and_key(kind, value, fault):
    threshold = "threshold = 0.02\n" if kind == "rate" else ""
    text = f'[[rule]]\nname = "a"\nkind = "{kind}"\nwindow_minutes = {value}\n{threshold}'
    assert faults(text) == [f"rules.toml:4: window_minutes: {fault}"]


@pytest.mark.parametrize("kind", ["undelivered", "slow"])
def test_kinds_of_outcomes_have_a_list_of_windows_even_if_the_file_gives_one(kind):
    text = f'[[rule]]\nname = "a"\nkind = "{kind}"\n'
    (rule,) = parse_rules(text + "window_minutes = 30\n")
    assert (rule.windows, rule.window_minutes, rule.min_attempts) == ((30,), 30, 0)
    (listed,) = parse_rules(text + "window_minutes = [60, 5]\n")
    assert (listed.windows, listed.window_minutes) == ((5, 60), 5)


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
        (
            'channels = ["slak"]',
            "channels: 'slak' is not one of alertmanager, email, log, pagerduty, slack, webhook (did you mean slack?)",
        ),
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
        ("cheese = 3", "cheese: kind 'rate' does not use this key"),
        ("labels = 1", 'labels: must be a table such as {team = "crm"}, is 1'),
        ("escalate_above = 0.01", "escalate_above: must be above the threshold, 0.02, is 0.01"),
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


@pytest.mark.parametrize("kind", ['"rates"', "1", "[]", '""'])
def test_an_unknown_kind_is_refused(kind):
    (fault,) = faults(SMALLEST.replace('"rate"', kind))
    assert fault.startswith("rules.toml:3: kind: there is no kind ")
    assert "(there are: rate, new_code, spike," in fault


def test_missing_keys_have_the_line_of_their_rule():
    assert faults(SMALLEST + "\n[[rule]]\n") == [
        "rules.toml:6: kind: is missing",
        "rules.toml:6: name: is missing",
    ]


def test_a_name_used_twice_names_both_lines():
    assert faults(SMALLEST + SMALLEST) == [
        "rules.toml:6: name: 'a' is already the name of the rule in line 2"
    ]


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
kind = "spikes"
severity = "loud"

[alerts]
threshold = 3
"""
    assert faults(text, source="my.toml") == [
        "my.toml:1: owner: is not known; a rules file has [[rule]] and [[route]] tables",
        "my.toml:5: classes: 'dead' is not one of broken, withheld, unreachable",
        "my.toml:5: classes: 'gone' is not one of broken, withheld, unreachable",
        "my.toml:10: threshold: must be above 0 and below 1, is 2",
        "my.toml:13: name: 'a' is already the name of the rule in line 3",
        f"my.toml:14: kind: there is no kind 'spikes' (there are: {', '.join(KINDS)}) (did you mean spike?)",
        "my.toml:15: severity: must be one of info, warning, error, critical, is 'loud'",
        "my.toml:17: alerts: is not known; a rules file has [[rule]] and [[route]] tables",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "rules.toml:1: rule: is missing: without a rule there are no alerts"),
        ("\nrule = []", "rules.toml:2: rule: is missing: without a rule there are no alerts"),
        ("\n[rule]\nname = 1", "rules.toml:2: rule: write [[rule]], in double brackets, above every rule"),
        ("rule = [1]", "rules.toml:1: rule: write [[rule]], in double brackets, above every rule"),
        ("[[rule]]\nname = a\n", "rules.toml:2: not valid TOML: Invalid value"),
        ("[[rule]]\nname =", "rules.toml:2: not valid TOML: Invalid value"),
        ('[[rule]]\nname = "a"\n\nname = "b"\n', "rules.toml:4: not valid TOML: Cannot overwrite a value"),
    ],
)
def test_a_file_of_another_form_gets_the_expected_form_in_the_error(text, fault):
    assert faults(text) == [fault]


def test_absurd_numbers_and_nesting_are_faults_like_any_other():
    assert "not valid TOML" in faults("x = " + "9" * 5000)[0]
    assert "not valid TOML" in faults("x = " + "[" * 100_000)[0]


@pytest.mark.parametrize(
    "text", ["a" + ".a" * 90_000 + "=1", "\n[" + "a." * 20_000 + "a]", 'x = {a = ["' + "." * 21]
)
def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed(text):
    [fault] = faults(text)
    assert fault.endswith("has more than 20 dots in a line: write long lists over several lines")


def test_a_hundred_faults_are_listed_at_most():
    assert len(faults(SMALLEST + "".join(f"k{number} = 1\n" for number in range(1000)))) == 100


@pytest.mark.parametrize(
    "piece",
    [
        *("k%d" + ".a" * 20 + " = 1\n", "[k%d" + ".a" * 20 + "]\n", '"\\u0041%d" = 1\n'),
        *("[[rule]]\nk%d = 1\n", "[[route]]\nk%d = 1\n", "[[a]]\n[[a.b%d]]\n"),
        *("k%d = " + "[" * 400 + "]" * 400 + "\n", "k%d = " + "{a.a = " * 20 + "1" + "}" * 20 + "\n"),
        *(
            "[[rule]]\nwindow_minutes = [%d" + ",1" * 9000 + "]\n",
            "[[route]]\nrules = [%d" + ",1" * 9000 + "]\n",
        ),
    ],
)
def test_no_text_of_the_longest_length_takes_long(piece):
    text = "".join(piece % number for number in range(MAX_TEXT // len(piece)))
    began = process_time()
    faults(text)
    assert process_time() - began < 1  # 0.12 s without other load


def test_rules_in_one_inline_list_are_read_and_their_faults_have_its_line():
    first, second = (f'{{name = "{name}", kind = "rate", threshold = %s}}' for name in "ab")
    text = f"\nrule = [{first % 0.02}, {second}]"
    assert [rule.name for rule in parse_rules(text % "0.1")] == ["a", "b"]
    assert faults(text % "3") == ["rules.toml:2: threshold: must be above 0 and below 1, is 3"]


def test_the_channels_a_rule_may_name_are_the_callers():
    text = SMALLEST + 'channels = ["pigeon"]\n'
    assert parse_rules(text, known_channels=frozenset({"pigeon"}))[0].channels == ("pigeon",)
    assert len(faults(text)) == 1


def test_the_error_carries_its_faults_as_values():
    with pytest.raises(RulesFileError) as raised:
        parse_rules(SMALLEST.replace("0.02", "2"))
    (fault,) = raised.value.faults
    assert (fault.line, fault.key) == (4, "threshold")
