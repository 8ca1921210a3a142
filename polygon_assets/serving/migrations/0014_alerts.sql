-- Every alert that fired, and until when. The sensor `alerts` writes a row when an alert fires and
-- its newer version, with `until`, when the alert is over: read it with FINAL.
CREATE TABLE IF NOT EXISTS market.alerts (
    alert      LowCardinality(String),
    subject    String,
    since      DateTime64(3, 'UTC'),
    until      Nullable(DateTime64(3, 'UTC')),
    detail     String,
    updated_at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (alert, subject, since)
TTL toDateTime(since) + INTERVAL 400 DAY;
