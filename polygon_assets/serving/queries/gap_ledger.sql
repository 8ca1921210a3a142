-- Every gap with its newest state, oldest first.
SELECT
    g.gap_id AS gap_id,
    g.since AS since,
    g.until AS until,
    g.cause AS cause,
    g.channels AS channels,
    g.state AS state,
    g.note AS note,
    g.rows_found AS rows_found,
    g.rows_added AS rows_added,
    g.rows_corrected AS rows_corrected,
    g.events_dropped AS events_dropped,
    g.epoch AS epoch,
    g.verify_after AS verify_after,
    g.updated_at AS updated_at
FROM market.stream_gaps AS g FINAL
ORDER BY since, gap_id
