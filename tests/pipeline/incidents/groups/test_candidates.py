"""Which groups of a window are judged: selected once for all rules with the same criterion."""

from msgspec.structs import replace

from webhook_app.pipeline.incidents.groups.counted_groups import candidates
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.counts.window_counts import GroupCounts

(RULE,) = parse_rules(
    '[[rule]]\nname = "rate"\nkind = "rate"\nthreshold = 0.02\ngroup_by = ["phone_number_id"]\n'
    "window_minutes = [15, 60]\n"
)


def test_rules_with_another_criterion_select_other_groups_of_the_same_counts():
    groups = GroupCounts({("calm",): Counts(1000, 5), ("bad",): Counts(100, 30), ("worse",): Counts(50, 40)})
    assert candidates(RULE, groups) == [("bad",), ("worse",)]
    assert candidates(replace(RULE, threshold=0.5), groups) == [("worse",)]
    assert candidates(replace(RULE, min_failures=35), groups) == [("worse",)]
    assert candidates(replace(RULE, windows=(), min_attempts=80), groups) == [("bad",)]
    assert candidates(replace(RULE, threshold=0.9), groups) == [("worse",)], (
        "the closest if none may be above"
    )
    assert candidates(replace(RULE, threshold=0.9, kind="spike"), groups) == []
    assert candidates(replace(RULE, name="another"), groups) is candidates(RULE, groups)
