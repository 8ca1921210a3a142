"""From what is wrong now to messages: a pure function of the state before, the causes and now.

Add a rule about when a message is due here; what counts as wrong belongs to
`inspection.alert_rules`, delivery to `alert_sensor`. The state is that sensor's cursor.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from polygon_assets.inspection.alert_rules import ALERTS, Causes
from polygon_assets.serving.alert_history import FiringAlert
from polygon_assets.settings import Settings

LONGEST_PAUSE = dt.timedelta(minutes=5)
"""After a longer pause of the sensor, a cause that did not fire yet must last anew."""

_DECLARED = {alert.name: alert for alert in ALERTS}


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cause of an alert, from the first tick that saw it."""

    alert: str
    subject: str
    since: dt.datetime
    detail: str
    """The sentence of the newest tick."""
    sent_at: dt.datetime | None = None
    """When its last message was made; None before the first, from which on it fires."""

    @property
    def key(self) -> tuple[str, str]:
        return self.alert, self.subject

    @property
    def title(self) -> str:
        return f"{self.alert} ({self.subject})" if self.subject else self.alert


class AlertState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The causes of the last tick, and what is still to be sent."""

    causes: tuple[Cause, ...] = ()
    outbox: tuple[str, ...] = ()
    """Messages that the webhook has not accepted yet, oldest first."""
    judged_at: dt.datetime | None = None
    syncs_read_at: dt.datetime | None = None
    """When Airbyte last answered."""
    failed_run: int | None = None
    """Storage id of the newest failure of a run that was made a message."""

    @property
    def firing(self) -> list[FiringAlert]:
        return [
            FiringAlert(cause.alert, cause.subject, cause.since, cause.detail)
            for cause in self.causes
            if cause.sent_at
        ]


def advance(
    state: AlertState, judged: Mapping[str, Causes | None], settings: Settings, now: dt.datetime
) -> tuple[AlertState, Sequence[str]]:
    """The state after a tick, and its new messages, which are in the outbox too."""
    known = {cause.key: cause for cause in _remembered(state, now)}
    current = [
        Cause(alert, subject, now, detail)
        for alert, causes in judged.items()
        for subject, detail in (causes or {}).items()
    ]
    unjudged = [cause for cause in state.causes if judged.get(cause.alert, {}) is None]
    observed = [_continued(cause, known.get(cause.key)) for cause in current]
    active_keys = {cause.key for cause in (*observed, *unjudged)}
    ended = [cause for cause in state.causes if cause.sent_at and cause.key not in active_keys]
    with_verbs = [(cause, _verb(cause, settings, now)) for cause in observed]
    messages = [_text(cause, verb) for cause, verb in with_verbs if verb]
    messages += [_end_text(cause, now) for cause in ended]
    sent = [
        msgspec.structs.replace(cause, sent_at=now) if verb else cause for cause, verb in with_verbs
    ]
    after = msgspec.structs.replace(
        state, causes=(*sent, *unjudged), outbox=(*state.outbox, *messages), judged_at=now
    )
    return after, messages


def _remembered(state: AlertState, now: dt.datetime) -> Sequence[Cause]:
    """The causes that go on; after a pause of the sensor only those that fired."""
    if state.judged_at and now - state.judged_at <= LONGEST_PAUSE:
        return state.causes
    return [cause for cause in state.causes if cause.sent_at]


def _continued(cause: Cause, known: Cause | None) -> Cause:
    """A cause of this tick, with the beginning of the one that was known."""
    return msgspec.structs.replace(known, detail=cause.detail) if known else cause


def _verb(cause: Cause, settings: Settings, now: dt.datetime) -> str:
    """What a message says of the cause now; empty when none is due."""
    if cause.sent_at is None:
        hold = settings.alert_hold_seconds if _DECLARED[cause.alert].must_last else 0
        return "fires" if (now - cause.since).total_seconds() >= hold else ""
    reminder = dt.timedelta(hours=settings.alert_reminder_hours)
    return "still fires" if reminder and now - cause.sent_at >= reminder else ""


def _text(cause: Cause, verb: str) -> str:
    return (
        f"alert {cause.title} {verb}: {cause.detail} (since {cause.since:%Y-%m-%d %H:%M:%S} UTC). "
        f"What to do: {_DECLARED[cause.alert].cure}"
    )


def _end_text(cause: Cause, now: dt.datetime) -> str:
    minutes = (now - cause.since).total_seconds() / 60
    return (
        f"alert {cause.title} is over at {now:%Y-%m-%d %H:%M:%S} UTC, after {minutes:,.1f} minutes"
    )


def read_state(cursor: str | None) -> AlertState:
    """The state in a sensor's cursor; the first tick has none."""
    return msgspec.json.decode(cursor, type=AlertState) if cursor else AlertState()


def as_cursor(state: AlertState) -> str:
    return msgspec.json.encode(state).decode()
