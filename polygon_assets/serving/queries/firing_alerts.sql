-- The alerts that fire now, the oldest first.
SELECT alert, subject, since, detail
FROM market.alerts FINAL
WHERE until IS NULL
ORDER BY since, alert, subject
