-- The sets of channels that a producer followed since `since`, by its heartbeats; the newest first.
-- A set that is not stored is missing.
SELECT h.version AS version, s.channels AS channels
FROM (
    SELECT subscriptions_version AS version, max(sent_at) AS newest
    FROM market.stream_heartbeats
    WHERE program = 'producer' AND sent_at >= {since:DateTime64(3, 'UTC')}
    GROUP BY version
) AS h
INNER JOIN (SELECT version, channels FROM market.subscription_sets FINAL) AS s
    ON s.version = h.version
ORDER BY h.newest DESC
