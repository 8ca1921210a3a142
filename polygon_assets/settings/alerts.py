"""Where alerts are sent, and the limits above which they fire.

Add an alert's limit here; how it is judged belongs to `inspection.alert_rules`.
"""

from pydantic import Field, SecretStr

from polygon_assets.settings.group import NO_SECRET, SettingsGroup


class AlertSettings(SettingsGroup):
    alert_webhook_url: SecretStr = Field(
        NO_SECRET,
        description="Alerts and failed runs are posted here as JSON {text}; empty for the log "
        "only.",
    )
    alert_hold_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="An alert fires after its cause has lasted this long: a restart is no alert.",
    )
    alert_reminder_hours: float = Field(
        24.0, ge=0, le=8_760, description="Hours between reminders of a firing alert; 0 for none."
    )
    alert_gap_minutes: float = Field(
        30.0,
        gt=0,
        le=525_600,
        description="Longest time from the end of a gap until it is verified or waived. The last "
        "comparison is due 16 minutes after the end.",
    )
    alert_lag_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Longest wait of a received message for its next program; ARCHIVE_MAX_SECONDS "
        "more for the archiver.",
    )
    alert_silence_seconds: float = Field(
        90.0,
        gt=0,
        le=86_400,
        description="Greatest age of the newest event in regular hours; 15 minutes more on the "
        "delayed cluster.",
    )
    alert_clock_skew_seconds: float = Field(
        1.0,
        ge=0,
        le=86_400,
        description="How long a bar may arrive before its second ends: the vendor's clock is "
        "ahead of ours by as much.",
    )
    alert_refused_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Greatest fraction of the events of five minutes that a program may refuse.",
    )
    alert_day_open_minutes: float = Field(
        60.0,
        gt=0,
        le=525_600,
        description="Longest time from the end of a day's corrections until the day is closed.",
    )
    alert_disk_free_bytes: int = Field(
        2 * 1024**3,
        ge=0,
        description="Bytes that must be free on the disks of Dagster and of ClickHouse. A day of "
        "the whole market takes about 1 GB in ClickHouse, and a merge needs that space again.",
    )
    alert_restarts: int = Field(
        3,
        ge=1,
        le=1_000,
        description="A program that was restarted as often within ALERT_RESTART_MINUTES is in a "
        "restart loop.",
    )
    alert_restart_minutes: float = Field(
        10.0, gt=0, le=1_440, description="The interval in which restarts are counted."
    )
