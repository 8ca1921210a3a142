"""What the vendor's answer to the key means: accepted, refused (key or plan), or unknown.

Add a form of answer here; sending the key belongs to `polygon_stream`.
"""

import re
from typing import Literal

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.events.vendor_channels import Status

Cause = Literal["key", "plan", "unknown"]
"""What the vendor's words name."""

PLAN_WORDS = r"plans?|upgrad\w*|entitle\w*|pricing"
"""They mean the plan even beside the key: `your API key's plan does not include…`."""
KEY_WORDS = r"(api)?keys?|authentication failed|auth_failed|credentials?|http 40[13]"
WEAK_PLAN_WORDS = r"not[ _]authorized|permissions?|forbidden|subscri\w*"
REFUSING = ("auth_failed", "error", "not_authorized", "unauthorized", "forbidden", "failed")
UNREMARKABLE = ("connected", "auth_success", "success")
LONGEST_WORDS = 300

SENTENCES: dict[Cause, str] = {
    "key": "the vendor refused POLYGON_API_KEY ({}); check the key on the vendor's dashboard",
    "plan": (
        "the vendor refused the connection ({}): the account's plan lacks this feed; upgrade the "
        "plan, or point POLYGON_WEBSOCKET_URL at a cluster that it includes, for example the "
        "delayed one"
    ),
    "unknown": (
        "the vendor gave an unknown answer to POLYGON_API_KEY ({}); check the key and the plan on "
        "the vendor's dashboard, and that POLYGON_WEBSOCKET_URL leads to the vendor"
    ),
}


class LoginRefusedError(PolygonAssetsError):
    """The vendor refused the key, and would again; the message has its words and the cure."""

    def __init__(self, cause: Cause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


def is_accepted(status: Status) -> bool:
    """Whether the vendor accepted the key."""
    return status.status == "auth_success" or (
        status.status == "success" and status.message.strip().lower() == "authenticated"
    )


def is_refused(status: Status) -> bool:
    """Whether the vendor refused the key, in any form."""
    return status.status.lower() in REFUSING or (
        status.status not in UNREMARKABLE and is_known(words_of(status))
    )


def is_unknown(status: Status) -> bool:
    """Whether the status is no part of the documented login."""
    return status.status not in UNREMARKABLE or (
        status.status == "success" and bool(status.message)
    )


def refusal(status: Status) -> LoginRefusedError:
    """The error for a status that refuses the key."""
    return ended_by(status.message if is_known(status.message) else words_of(status))


def ended_by(words: str) -> LoginRefusedError:
    """The same error for words from elsewhere: an HTTP answer, the reason of a close."""
    cause = _cause(words)
    return LoginRefusedError(cause, SENTENCES[cause].format(words[:LONGEST_WORDS]))


def is_known(words: str) -> bool:
    """Whether the words name the key or the plan."""
    return _cause(words) != "unknown"


def words_of(status: Status) -> str:
    """Everything a status says, whatever fields the vendor put it in."""
    return ": ".join(filter(None, (status.status, status.message, status.other_fields)))


def _cause(words: str) -> Cause:
    marks_of: tuple[tuple[Cause, str], ...] = (
        ("plan", PLAN_WORDS),
        ("key", KEY_WORDS),
        ("plan", WEAK_PLAN_WORDS),
    )
    for cause, marks in marks_of:
        # Whole words, also between underscores: `explanation` names no plan, `api_key` a key.
        if re.search(rf"(?<![a-z])({marks})(?![a-z])", words, re.IGNORECASE):
            return cause
    return "unknown"
