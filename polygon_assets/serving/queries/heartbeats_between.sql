-- The stored heartbeats of a program between two moments (included), oldest first; times in Unix
-- milliseconds.
SELECT
    h.program AS program,
    h.instance AS instance,
    h.state AS state,
    toUnixTimestamp64Milli(h.started_at) AS started_at,
    toUnixTimestamp64Milli(h.sent_at) AS sent_at,
    h.detail AS detail,
    ifNull(toUnixTimestamp64Milli(h.epoch), 0) AS epoch,
    toUnixTimestamp64Milli(h.newest_event) AS newest_event,
    toUnixTimestamp64Milli(h.newest_received_at) AS newest_received_at,
    toUnixTimestamp64Milli(h.complete_until) AS complete_until,
    h.rate AS rate,
    h.lag AS lag,
    h.counters AS counters,
    h.restarts AS restarts,
    h.arrival_delay_ms AS arrival_delay_ms,
    h.desired AS desired,
    h.confirmed AS confirmed,
    h.subscriptions_version AS subscriptions_version
FROM market.stream_heartbeats AS h FINAL
WHERE h.program = {program:String}
    AND h.sent_at BETWEEN {since:DateTime64(3, 'UTC')} AND {until:DateTime64(3, 'UTC')}
ORDER BY sent_at, instance
