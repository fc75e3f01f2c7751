"""The request of the Flask application: what a client sends is parsed up to a number of parts, and refused beyond it.

Anybody may send a form, a query or cookies, and parsing takes some microseconds for each part, in one piece.
"""

from typing import IO, Any
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.datastructures import ImmutableMultiDict, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_cookie
from werkzeug.utils import cached_property

MAX_PARAMETERS = 100
"""Of a query. The longest forms of filters have a fifth."""
_OWN_COOKIE = "webhook_app_"
_MAX_COOKIES = 20


class LimitedRequest(Request):
    """A request with at most MAX_PARAMETERS, `max_form_parts` fields, and our own cookies only."""

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query. Raises BadRequest when there are too many."""
        try:
            return self.parameter_storage_class(_fields(self.query_string, MAX_PARAMETERS))
        except ValueError:
            raise BadRequest(f"The query has more than {MAX_PARAMETERS} parameters.") from None

    @cached_property
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """Our cookies; a browser may send hundreds that other services of the domain set."""
        own = [each for each in self.environ.get("HTTP_COOKIE", "").split(";") if _OWN_COOKIE in each]
        return ImmutableMultiDict(parse_cookie(";".join(own[:_MAX_COOKIES])))

    class form_data_parser_class(FormDataParser):  # noqa: N801  werkzeug's name
        """Holds a URL-encoded form to the same number of fields as one in parts."""

        def _parse_urlencoded(self, stream: IO[bytes], *_: Any) -> Any:
            try:
                fields = _fields(stream.read(), self.max_form_parts)
            except ValueError:
                raise RequestEntityTooLarge from None
            return stream, self.cls(fields), self.cls()


def _fields(encoded: bytes, most: int | None) -> list[tuple[str, str]]:
    """The names and values. Raises ValueError for more than `most`."""
    text = encoded.decode(errors="replace")
    return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=most)


def has_tag(if_none_match: str, tag: str) -> bool:
    """Whether this header of a conditional request names the ETag, strong or weak. Parsing a long one takes 2 ms."""
    return f'"{tag}"' in if_none_match or if_none_match.strip() == "*"
