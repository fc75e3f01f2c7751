"""Lines of keys, in files written every way that TOML allows."""

import tomllib

from webhook_app.rules.toml_lines import FileLines, TableLines, find_key_lines


def places(text):
    tomllib.loads(text)  # every case here is valid TOML
    return find_key_lines(text, "rule")


def test_headers_and_keys_have_the_lines_an_editor_shows():
    text = '\n# rules\n[[rule]]\nname = "a"\n\n  threshold=0.1 # ten\n[[ rule ]] # second\nname = "b"\n'
    assert places(text) == FileLines(
        TableLines(1, {}), [TableLines(3, {"name": 4, "threshold": 6}), TableLines(7, {"name": 8})]
    )


def test_an_empty_file_and_one_of_comments_have_no_places():
    assert places("") == places("# [[rule]]\n# name = 1\n\n") == FileLines(TableLines(1, {}), [])


def test_a_last_line_without_end_is_read():
    assert places("[[rule]]\nname = 'a'").tables == [TableLines(1, {"name": 2})]


def test_text_like_a_key_inside_a_value_is_not_a_key():
    text = '''[[rule]]
name = """
threshold = 9
[[rule]] \\"""
"quoted" ends in two quotes"""""
codes = [ # threshold = 8
  131026, # [[rule]]
  "]", '[', "#",
]
runbook = 'C:\\' # = "
domains = [["template"], []]
other = { threshold = 7, "a]" = "}" }
threshold = 0.1
'''
    assert places(text).tables == [
        TableLines(
            1,
            {"name": 2, "codes": 6, "runbook": 10, "domains": 11, "other": 12, "threshold": 13},
        )
    ]


def test_literal_multi_line_strings_are_one_value():
    text = "[[rule]]\nname = '''\n# not a comment\nkind = 1 ''''\nkind = ''\n"
    assert places(text).tables == [TableLines(1, {"name": 2, "kind": 5})]


def test_a_quote_right_before_the_closing_ones_belongs_to_the_value():
    assert places('[[rule]]\nname = """a"""" # "["\nkind = 1\n').tables == [
        TableLines(1, {"name": 2, "kind": 3})
    ]
    assert places("[[rule]]\nname = '''a'''' # '['\nkind = 1\n").tables == [
        TableLines(1, {"name": 2, "kind": 3})
    ]


def test_quoted_and_dotted_keys_are_found_by_their_first_name():
    text = '[[rule]]\n"name" = 1\n\'kind\' = 2\n"a = b" = 3\nextra.deep = 4\n"\\u0063odes" = 5\n'
    assert places(text).tables == [TableLines(1, {"name": 2, "kind": 3, "a = b": 4, "extra": 5, "codes": 6})]


def test_keys_before_the_first_header_and_foreign_tables_belong_to_the_file():
    text = "top = 1\n[other]\nname = 2\n[[rule]]\nname = 3\n[more.deep]\nname = 4\n"
    assert places(text) == FileLines(
        TableLines(1, {"top": 1, "other": 2, "more": 6}), [TableLines(4, {"name": 5})]
    )


def test_a_table_inside_a_rule_is_a_key_of_that_rule():
    text = "[[rule]]\nname = 1\n[rule.labels]\nname = 2\n[[rule.more]]\n[[rule]]\n[rule.labels]\n"
    assert places(text).tables == [
        TableLines(1, {"name": 2, "labels": 3, "more": 5}),
        TableLines(6, {"labels": 7}),
    ]


def test_a_key_that_is_not_there_has_the_line_of_its_header():
    assert places("\n[[rule]]\nname = 1\n").tables[0].of("threshold") == 2
