"""Errors as ClickHouse words them over HTTP: code, symbolic name, text, HTTP status.

Recognising the engine's own texts belongs here; deciding when to refuse a request does not.
"""

import re

# The statuses that ClickHouse's HTTP handler gives to these codes; every other error is a 500.
_CODES_BY_STATUS: dict[int, tuple[int, ...]] = {
    # BAD_ARGUMENTS, SYNTAX_ERROR, CANNOT_PARSE_*, TOO_DEEP_AST and other faults of the statement or its data
    400: (
        6,
        8,
        15,
        25,
        26,
        27,
        36,
        37,
        38,
        41,
        44,
        53,
        62,
        72,
        117,
        123,
        167,
        168,
        223,
        321,
        376,
        427,
        441,
        675,
        676,
    ),
    401: (194,),  # REQUIRED_PASSWORD
    403: (
        192,
        193,
        497,
        512,
        516,
    ),  # UNKNOWN_USER, WRONG_PASSWORD, ACCESS_DENIED, AUTHENTICATION_FAILED
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),  # UNKNOWN_*
    408: (159,),  # TIMEOUT_EXCEEDED
    413: (
        229,
        307,
    ),  # QUERY_IS_TOO_LARGE; TOO_MANY_BYTES: only this front raises it, for a body over its limit
    501: (48,),  # NOT_IMPLEMENTED
    503: (76, 209, 439),  # CANNOT_OPEN_FILE, SOCKET_TIMEOUT, CANNOT_SCHEDULE_TASK
}
_STATUS: dict[int, int] = {
    code: status for status, codes in _CODES_BY_STATUS.items() for code in codes
}
_CODE = re.compile(r"Code: (\d+)\. ")
_REPEATED = re.compile(r"^(Code: \d+\. DB::Exception: )\1")
_UNKNOWN_EXCEPTION = 1002


class ClickHouseError(Exception):
    """A request failed: `code` is ClickHouse's number, `str()` its text, `status` the HTTP status."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS.get(code, 500)

    @classmethod
    def refused(cls, code: int, name: str, message: str) -> "ClickHouseError":
        """An error of this front, worded like the engine's."""
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name})")

    @classmethod
    def from_engine(cls, error: Exception) -> "ClickHouseError":
        """What chDB raised: its text starts somewhere with `Code: N.`"""
        text = str(error)
        found = _CODE.search(text)
        if not found:
            return cls(
                _UNKNOWN_EXCEPTION,
                f"Code: {_UNKNOWN_EXCEPTION}. DB::Exception: {text} (UNKNOWN_EXCEPTION)",
            )
        return cls(int(found[1]), _REPEATED.sub(r"\1", text[found.start() :].strip()))


class TruncatedBodyError(Exception):
    """The client went away before its request was complete."""
