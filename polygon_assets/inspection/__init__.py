"""What is true of the running system now: heartbeats, offsets, gaps, rows. Read-only looks with a deadline.

What should follow from it is decided in `defs.decisions`; nothing here starts, changes or remembers anything.
"""


class EvidenceError(Exception):
    """A system could not be asked; the message names it and the cause."""


class KafkaUnreachableError(EvidenceError):
    """No broker answered in time."""


class ClickHouseUnreachableError(EvidenceError):
    """ClickHouse did not answer, or refused the question."""


class WarehouseUnreachableError(EvidenceError):
    """Snowflake did not answer, or refused the question."""


class UnreadableGapError(EvidenceError):
    """A message in the gap ledger cannot be read, so it is not known whether it is an open gap."""
