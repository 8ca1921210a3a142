-- The seconds from `from` to `to` in the archive (`table`) and in the table, by outcome: how many,
-- and the first `examples`. cityHash64 of a tuple tells NULL from any value.
SELECT
    multiIf(
        NOT is_stored, 'missing',
        NOT is_archived, 'surplus',
        archived_content = stored_content, 'equal',
        'different'
    ) AS outcome,
    count() AS rows,
    groupArraySortedIf(5)((start_timestamp, symbol), outcome != 'equal') AS examples
FROM (
    SELECT
        symbol,
        start_timestamp,
        cityHash64(tuple(*)) AS archived_content,
        true AS is_archived
    FROM market.{table:Identifier} FINAL
    WHERE start_timestamp >= {from:DateTime64(3, 'UTC')}
      AND start_timestamp < {to:DateTime64(3, 'UTC')}
      AND symbol NOT IN {uncompared:Array(String)}
) AS archived
FULL JOIN (
    SELECT
        symbol,
        start_timestamp,
        cityHash64(tuple(*)) AS stored_content,
        true AS is_stored
    FROM market.stock_aggregates FINAL
    WHERE start_timestamp >= {from:DateTime64(3, 'UTC')}
      AND start_timestamp < {to:DateTime64(3, 'UTC')}
      AND symbol NOT IN {uncompared:Array(String)}
) AS stored USING (symbol, start_timestamp)
GROUP BY outcome
