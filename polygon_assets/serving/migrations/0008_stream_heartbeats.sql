-- The heartbeats of producer, filter and sink: the proof that a moment was covered, and the memory
-- where Kafka has none. A supervising run stores one every ten seconds, and each change at once.
-- Storing a heartbeat twice changes nothing.
CREATE TABLE IF NOT EXISTS market.stream_heartbeats (
    program               LowCardinality(String),
    instance              String,
    sent_at               DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    started_at            DateTime64(3, 'UTC'),
    state                 LowCardinality(String),
    detail                String,
    epoch                 Nullable(DateTime64(3, 'UTC')),
    complete_until        Nullable(DateTime64(3, 'UTC')),
    newest_event          Nullable(DateTime64(3, 'UTC')),
    newest_received_at    Nullable(DateTime64(3, 'UTC')),
    rate                  Float64,
    lag                   Nullable(Int64),
    arrival_delay_ms      Nullable(Int64),
    desired               UInt32,
    confirmed             UInt32,
    subscriptions_version String,
    restarts              UInt32,
    counters              Map(LowCardinality(String), UInt64)
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(sent_at)
ORDER BY (program, sent_at, instance)
TTL toDateTime(sent_at) + INTERVAL 400 DAY;
