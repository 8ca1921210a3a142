-- Inserts each second from `from` to `to` of the archive (`table`) that the table lacks, or whose
-- stored row differs and is not newer. Of two rows of one version the table keeps the last.
INSERT INTO market.stock_aggregates
SELECT archived.* EXCEPT (archived_content)
FROM (
    SELECT *, cityHash64(tuple(*)) AS archived_content
    FROM market.{table:Identifier} FINAL
    WHERE start_timestamp >= {from:DateTime64(3, 'UTC')}
      AND start_timestamp < {to:DateTime64(3, 'UTC')}
      AND symbol NOT IN {uncompared:Array(String)}
) AS archived
LEFT JOIN (
    SELECT
        symbol,
        start_timestamp,
        received_at AS stored_at,
        cityHash64(tuple(*)) AS stored_content,
        true AS is_stored
    FROM market.stock_aggregates FINAL
    WHERE start_timestamp >= {from:DateTime64(3, 'UTC')}
      AND start_timestamp < {to:DateTime64(3, 'UTC')}
      AND symbol NOT IN {uncompared:Array(String)}
) AS stored
    ON archived.symbol = stored.symbol AND archived.start_timestamp = stored.start_timestamp
WHERE NOT stored.is_stored
   OR (
       archived.archived_content != stored.stored_content
       AND stored.stored_at <= archived.received_at
   )
