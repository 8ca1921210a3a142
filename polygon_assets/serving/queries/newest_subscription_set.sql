-- The channels that were put in force last; no row before the first.
SELECT version, accepted_at, channels
FROM market.subscription_sets FINAL
ORDER BY accepted_at DESC, version
LIMIT 1
