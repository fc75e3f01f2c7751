"""The log channel: plain text that a terminal shows and does not obey."""

from io import StringIO

import pytest
from msgspec.structs import replace

from tests.channels.notifications import FIGURES, notification
from webhook_app.channels import SendError
from webhook_app.channels.log import LogChannel


def test_the_message_is_followed_by_a_blank_line():
    stream = StringIO()
    LogChannel(stream).send(notification())
    assert stream.getvalue().startswith("WARNING")
    assert stream.getvalue().endswith("\n\n")


def test_a_name_can_neither_begin_a_line_nor_control_a_terminal():
    stream = StringIO()
    LogChannel(stream).send(
        notification(templates=("a\nCRITICAL everything\x1b[2J",), slice=None, figures=FIGURES)
    )
    assert "\x1b" not in stream.getvalue()
    assert not any(line.startswith("CRITICAL") for line in stream.getvalue().splitlines())


def test_a_closed_stream_is_tried_again():
    stream = StringIO()
    stream.close()
    with pytest.raises(SendError) as refused:
        LogChannel(stream).send(replace(notification(), id=1))
    assert not refused.value.permanent
