"""Errors in ClickHouse's wording over HTTP: code, symbolic name, text, HTTP status.

Add a status for a code here, or the parsing of an engine text; the decision to refuse a request
belongs to the module that reads it.
"""

import re

from polygon_assets.errors import PolygonAssetsError

# ClickHouse's HTTP handler answers these codes with these statuses, and every other error with 500.
_CODES_BY_STATUS: dict[int, tuple[int, ...]] = {
    # BAD_ARGUMENTS, SYNTAX_ERROR, CANNOT_PARSE_*, TOO_DEEP_AST and other faults of a statement
    # or of its data
    400: (
        *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376),
        *(427, 441, 675, 676),
    ),
    401: (194,),  # REQUIRED_PASSWORD
    # UNKNOWN_USER, WRONG_PASSWORD, ACCESS_DENIED, AUTHENTICATION_FAILED
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),  # UNKNOWN_*
    408: (159,),  # TIMEOUT_EXCEEDED
    # QUERY_IS_TOO_LARGE; TOO_MANY_BYTES (raised only by this server, for an oversized body)
    413: (229, 307),
    501: (48,),  # NOT_IMPLEMENTED
    503: (76, 209, 439),  # CANNOT_OPEN_FILE, SOCKET_TIMEOUT, CANNOT_SCHEDULE_TASK
}
_STATUS: dict[int, int] = {
    code: status for status, codes in _CODES_BY_STATUS.items() for code in codes
}
_CODE = re.compile(r"Code: (\d+)\. ")
_REPEATED = re.compile(r"^(Code: \d+\. DB::Exception: )\1")
_UNKNOWN_EXCEPTION = 1002


class ClickHouseError(PolygonAssetsError):
    """A failed request: `code` is ClickHouse's number, `str()` its text, `status` HTTP's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS.get(code, 500)

    @classmethod
    def refused(cls, code: int, name: str, message: str) -> "ClickHouseError":
        """An error raised by this server, worded like the engine's."""
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name})")

    @classmethod
    def from_engine(cls, error: Exception) -> "ClickHouseError":
        """The error that chDB raised; its text contains `Code: N.` somewhere."""
        text = str(error)
        match = _CODE.search(text)
        if not match:
            return cls(
                _UNKNOWN_EXCEPTION,
                f"Code: {_UNKNOWN_EXCEPTION}. DB::Exception: {text} (UNKNOWN_EXCEPTION)",
            )
        return cls(int(match[1]), _REPEATED.sub(r"\1", text[match.start() :].strip()))


class TruncatedBodyError(PolygonAssetsError):
    """The client closed its connection before its request was complete."""
