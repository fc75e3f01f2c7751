"""/static: every answer of a process sends the same bytes object, so that many slow readers share one copy."""

from webhook_app.web.pages.assets import Assets


def test_all_answers_share_one_copy_of_a_file_compressed_or_not():
    files = Assets()
    for name in ("plotly.min.js", "dashboard.css"):
        for gzip in (False, True):
            (first,), (second,) = (files.respond(name, gzip=gzip).response for _ in range(2))
            assert first is second
            assert len(first) > 1000
