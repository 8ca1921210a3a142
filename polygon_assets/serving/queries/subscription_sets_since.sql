-- The sets of channels that were put in force since `since`, and the one that was in force then;
-- oldest first.
SELECT accepted_at, channels
FROM market.subscription_sets AS s FINAL
WHERE accepted_at >= (
    SELECT max(accepted_at) FROM market.subscription_sets
    WHERE accepted_at <= {since:DateTime64(3, 'UTC')}
)
ORDER BY accepted_at, version
