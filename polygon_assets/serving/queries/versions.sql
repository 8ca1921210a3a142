-- Every version of each second of `symbol` from `from` (included) to `to` (excluded), in the order
-- of receipt, and whether the second may still change at `now` (market time).
SELECT
    v.symbol AS symbol,
    v.start_timestamp AS start_timestamp,
    row_number() OVER (PARTITION BY v.start_timestamp ORDER BY v.received_at) AS version,
    f.versions AS versions,
    f.revisions AS revisions,
    f.finality AS finality,
    v.received_at AS received_at,
    v.source AS source,
    v.open AS open,
    v.high AS high,
    v.low AS low,
    v.close AS close,
    v.volume AS volume,
    v.vwap AS vwap
FROM market.stock_versions AS v FINAL
INNER JOIN (
    SELECT start_timestamp, versions, revisions, finality
    FROM market.stock_finality(
        now_ts = {now:DateTime64(3, 'UTC')},
        from_ts = {from:DateTime64(3, 'UTC')},
        to_ts = {to:DateTime64(3, 'UTC')}
    )
    WHERE symbol = {symbol:String}
) AS f ON v.start_timestamp = f.start_timestamp
WHERE v.symbol = {symbol:String}
  AND v.start_timestamp >= {from:DateTime64(3, 'UTC')}
  AND v.start_timestamp < {to:DateTime64(3, 'UTC')}
ORDER BY start_timestamp, received_at
