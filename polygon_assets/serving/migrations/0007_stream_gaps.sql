-- The intervals in which events may have been missed, copied from polygon_stream_gaps: a broker that
-- loses its memory must not lose a gap. The newest updated_at of a gap wins (FINAL).
CREATE TABLE IF NOT EXISTS market.stream_gaps (
    gap_id         String,
    since          DateTime64(3, 'UTC'),
    until          DateTime64(3, 'UTC'),
    cause          LowCardinality(String),
    channels       Array(LowCardinality(String)),
    state          LowCardinality(String),
    events_dropped UInt64,
    epoch          DateTime64(3, 'UTC'),
    updated_at     DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(updated_at)
ORDER BY gap_id;
