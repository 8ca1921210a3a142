-- The gaps that are not closed, oldest first; times in Unix milliseconds.
SELECT
    g.gap_id AS gap_id,
    g.cause AS reason,
    toUnixTimestamp64Milli(g.since) AS since,
    toUnixTimestamp64Milli(g.until) AS until,
    toUnixTimestamp64Milli(g.epoch) AS epoch,
    g.events_dropped AS events_dropped,
    g.channels AS channels
FROM market.stream_gaps AS g FINAL
WHERE g.state = 'open'
ORDER BY since, gap_id
