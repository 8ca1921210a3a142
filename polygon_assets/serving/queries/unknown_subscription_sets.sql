-- The versions that producers followed since `since`, and that `market.subscription_sets` lacks.
SELECT DISTINCT subscriptions_version
FROM market.stream_heartbeats
WHERE program = 'producer'
    AND subscriptions_version != ''
    AND sent_at >= {since:DateTime64(3, 'UTC')}
    AND subscriptions_version NOT IN (SELECT version FROM market.subscription_sets)
ORDER BY subscriptions_version
