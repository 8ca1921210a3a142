"""The producer: how many copies, and when its connection counts as dead.

Who starts the producer belongs to `runner`, the vendor's addresses belong to `vendor`.
"""

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup


class ProducerSettings(SettingsGroup):
    producer_copies: int = Field(
        1,
        ge=1,
        le=100,
        description="Producers that run at the same time. Above 1 they choose a leader through "
        "Kafka, which alone connects to the vendor; another one replaces it within seconds.",
    )
    leader_session_seconds: float = Field(
        6.0,
        ge=3,
        le=60,
        description="Kafka replaces a leading producer from which it has heard nothing for so "
        "long. Apache Kafka accepts no less than its group.min.session.timeout.ms, usually 6 "
        "seconds.",
    )
    no_data_seconds: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="A connection counts as dead after this long without any event in regular "
        "hours; raise it for a set of rarely traded symbols.",
    )
    max_connections_cooldown_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Pause after the vendor reported that another process uses the account's "
        "connection.",
    )
