"""Errors as ClickHouse words them over HTTP: code, symbolic name, text, HTTP status.

Recognising the engine's own texts belongs here; deciding when to refuse a request does not.
"""

import re

# The statuses that ClickHouse's HTTP handler gives to these codes; every other error is a 500.
_STATUS = {
    27: 400,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
    36: 400,  # BAD_ARGUMENTS
    48: 501,  # NOT_IMPLEMENTED
    60: 404,  # UNKNOWN_TABLE
    62: 400,  # SYNTAX_ERROR
    81: 404,  # UNKNOWN_DATABASE
    115: 400,  # UNKNOWN_SETTING
    307: 413,  # TOO_MANY_BYTES
    372: 404,  # SESSION_NOT_FOUND
    516: 403,  # AUTHENTICATION_FAILED
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
            return cls(_UNKNOWN_EXCEPTION, f"Code: {_UNKNOWN_EXCEPTION}. DB::Exception: {text} (UNKNOWN_EXCEPTION)")
        return cls(int(found[1]), _REPEATED.sub(r"\1", text[found.start() :].strip()))


class TruncatedBodyError(Exception):
    """The client went away before its request was complete."""
