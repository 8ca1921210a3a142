"""What the vendor's answer to the key means: accepted, refused (key or plan), or unknown.

Add a form of answer here; sending the key belongs to `connection`.
"""

import re

from polygon_assets.events.vendor_channels import Status
from polygon_assets.streaming.program import (
    EXIT_NOT_ENTITLED,
    EXIT_UNKNOWN_ANSWER,
    EXIT_WRONG_KEY,
    ProgramError,
)

PLAN_WORDS = r"plans?|upgrad\w*|entitle\w*|pricing"
"""They mean the plan even beside the key: `your API key's plan does not include…`."""
KEY_WORDS = r"(api)?keys?|authentication failed|auth_failed|credentials?|http 40[13]"
WEAK_PLAN_WORDS = r"not[ _]authorized|permissions?|forbidden|subscri\w*"
REFUSING = ("auth_failed", "error", "not_authorized", "unauthorized", "forbidden", "failed")
UNREMARKABLE = ("connected", "auth_success", "success")
LONGEST_WORDS = 300

WRONG_KEY = "the vendor refused POLYGON_API_KEY ({}); check the key on the vendor's dashboard"
NO_PLAN = (
    "the vendor refused the connection ({}): the account's plan lacks this feed; upgrade the plan, "
    "or point POLYGON_WEBSOCKET_URL at a cluster that it includes, for example the delayed one"
)
UNKNOWN = (
    "the vendor gave an unknown answer to POLYGON_API_KEY ({}); check the key and the plan on the "
    "vendor's dashboard, and that POLYGON_WEBSOCKET_URL leads to the vendor"
)


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


def refusal(status: Status) -> ProgramError:
    """The error that ends the program: the vendor's words and the cure."""
    return ended_by(status.message if is_known(status.message) else words_of(status))


def ended_by(words: str) -> ProgramError:
    """The same error for words from elsewhere: an HTTP answer, the reason of a close."""
    cure = _cure(words)
    code = {WRONG_KEY: EXIT_WRONG_KEY, NO_PLAN: EXIT_NOT_ENTITLED, UNKNOWN: EXIT_UNKNOWN_ANSWER}[
        cure
    ]
    return ProgramError(code, cure.format(words[:LONGEST_WORDS]))


def is_known(words: str) -> bool:
    """Whether the words name the key or the plan."""
    return _cure(words) is not UNKNOWN


def words_of(status: Status) -> str:
    """Everything a status says, whatever fields the vendor put it in."""
    return ": ".join(filter(None, (status.status, status.message, status.other_fields)))


def _cure(words: str) -> str:
    for cure, marks in ((NO_PLAN, PLAN_WORDS), (WRONG_KEY, KEY_WORDS), (NO_PLAN, WEAK_PLAN_WORDS)):
        # Whole words, also between underscores: `explanation` names no plan, `api_key` a key.
        if re.search(rf"(?<![a-z])({marks})(?![a-z])", words, re.IGNORECASE):
            return cure
    return UNKNOWN
