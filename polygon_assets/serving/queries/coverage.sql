-- The seconds of `symbol` from `from` (included) to `to` (excluded) as intervals of equal status:
-- traded, quiet (proved) or unknown.
SELECT
    status,
    min(start_timestamp) AS since,
    max(start_timestamp) + INTERVAL 1 SECOND AS until,
    count() AS seconds
FROM (
    SELECT
        start_timestamp,
        status,
        row_number() OVER (ORDER BY start_timestamp)
        - row_number() OVER (PARTITION BY status ORDER BY start_timestamp) AS run
    FROM market.second_status(
        symbol = {symbol:String},
        from_ts = {from:DateTime64(3, 'UTC')},
        to_ts = {to:DateTime64(3, 'UTC')}
    )
)
GROUP BY status, run
ORDER BY since
