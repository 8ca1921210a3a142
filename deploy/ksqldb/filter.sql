-- The filter as statements of ksqlDB, generated from polygon_assets/provisioning/engine_filter.
-- `polygon-assets engine-filter ksqldb` prints them for your accepted set; docs/engines.md says
-- what differs from our filter. They were not run: ksqlDB is in no package registry.

SET 'processing.guarantee' = 'exactly_once_v2';

SET 'auto.offset.reset' = 'earliest';

CREATE STREAM polygon_received (`message_key` STRING KEY, `raw` BYTES) WITH (
  KAFKA_TOPIC = 'polygon_stream_aggregates', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'KAFKA'
);

CREATE STREAM polygon_fields WITH (KAFKA_TOPIC = 'polygon_ksqldb_fields', VALUE_FORMAT = 'JSON') AS
SELECT
  `message_key`,
  `raw` AS `raw`,
  ROWPARTITION AS `partition`,
  ROWOFFSET AS `offset`,
  FROM_BYTES(`raw`, 'utf8') AS `message`,
  JSON_RECORDS(FROM_BYTES(`raw`, 'utf8')) AS `fields`,
  FROM_BYTES(TO_BYTES(FROM_BYTES(`raw`, 'utf8'), 'utf8'), 'hex') = FROM_BYTES(`raw`, 'hex')
    AND JSON_RECORDS(FROM_BYTES(`raw`, 'utf8')) IS NOT NULL
    AND JSON_ARRAY_LENGTH(CONCAT('[', FROM_BYTES(`raw`, 'utf8'), ']')) = 1
    AND JSON_RECORDS(CONCAT('{"one":', FROM_BYTES(`raw`, 'utf8'), '}')) IS NOT NULL AS `is_object`
FROM polygon_received
EMIT CHANGES;

CREATE STREAM polygon_typed WITH (KAFKA_TOPIC = 'polygon_ksqldb_typed', VALUE_FORMAT = 'JSON') AS
SELECT
  `message_key`,
  `raw` AS `raw`,
  `partition` AS `partition`,
  `offset` AS `offset`,
  CASE WHEN (REGEXP_EXTRACT('"event_type"\s*:\s*"', `message`) IS NOT NULL) THEN `fields`['event_type'] END AS `event_type`,
  CASE WHEN (REGEXP_EXTRACT('"symbol"\s*:\s*"', `message`) IS NOT NULL) THEN `fields`['symbol'] END AS `symbol`,
  COALESCE(CASE WHEN (REGEXP_EXTRACT('"decimal_volume"\s*:\s*"', `message`) IS NOT NULL) THEN `fields`['decimal_volume'] END, CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+)\z', CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END) IS NOT NULL) THEN CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END END, REGEXP_REPLACE(CAST(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,12}(?:\.[0-9]+)?(?:[eE]-[0-9]+)?|-?[0-9](?:\.[0-9]+)?[eE]\+?(?:[0-9]|1[01]))\z', CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END AS DECIMAL(38, 25)) END AS STRING), '\.?0+\z', ''), CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END) AS `volume`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['open_price'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['open_price'], 'null') END AS DOUBLE) END AS `open_price`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"close_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['close_price'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"close_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['close_price'], 'null') END AS DOUBLE) END AS `close_price`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"high"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['high'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"high"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['high'], 'null') END AS DOUBLE) END AS `high`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"low"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['low'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"low"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['low'], 'null') END AS DOUBLE) END AS `low`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,18})\z', CASE WHEN NOT (REGEXP_EXTRACT('"start_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['start_timestamp'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"start_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['start_timestamp'], 'null') END AS BIGINT) END AS `start_timestamp`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,18})\z', CASE WHEN NOT (REGEXP_EXTRACT('"end_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['end_timestamp'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"end_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['end_timestamp'], 'null') END AS BIGINT) END AS `end_timestamp`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,18})\z', CASE WHEN NOT (REGEXP_EXTRACT('"received_at"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['received_at'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"received_at"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['received_at'], 'null') END AS BIGINT) END AS `received_at`,
  CASE WHEN (REGEXP_EXTRACT('"source"\s*:\s*"', `message`) IS NOT NULL) THEN `fields`['source'] END AS `source`,
  COALESCE(CASE WHEN (REGEXP_EXTRACT('"decimal_accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN `fields`['decimal_accumulated_volume'] END, CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+)\z', CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END) IS NOT NULL) THEN CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END END, REGEXP_REPLACE(CAST(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,12}(?:\.[0-9]+)?(?:[eE]-[0-9]+)?|-?[0-9](?:\.[0-9]+)?[eE]\+?(?:[0-9]|1[01]))\z', CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END AS DECIMAL(38, 25)) END AS STRING), '\.?0+\z', ''), CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END) AS `accumulated_volume`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"official_open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['official_open_price'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"official_open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['official_open_price'], 'null') END AS DOUBLE) END AS `official_open_price`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['vwap'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['vwap'], 'null') END AS DOUBLE) END AS `vwap`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"aggregate_vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['aggregate_vwap'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"aggregate_vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['aggregate_vwap'], 'null') END AS DOUBLE) END AS `aggregate_vwap`,
  CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"average_size"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['average_size'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"average_size"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['average_size'], 'null') END AS DOUBLE) END AS `average_size`,
  CASE WHEN CASE WHEN NOT (REGEXP_EXTRACT('"otc"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['otc'], 'null') END = 'true' THEN TRUE ELSE FALSE END AS `otc`,
  CASE WHEN NOT (REGEXP_EXTRACT('"average_size"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['average_size'], 'null') END AS `average_size_text`,
  CASE
      WHEN NOT COALESCE(`is_object`, FALSE) THEN 'no JSON object in UTF-8'
      WHEN NOT COALESCE((REGEXP_EXTRACT('"event_type"\s*:\s*"', `message`) IS NOT NULL), FALSE) THEN 'event_type is no string'
      WHEN NOT COALESCE((REGEXP_EXTRACT('"symbol"\s*:\s*"', `message`) IS NOT NULL), FALSE) THEN 'symbol is no string'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['volume'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'volume is no number'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['open_price'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['open_price'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'open_price is no number'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"close_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['close_price'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"close_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['close_price'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'close_price is no number'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"high"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['high'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"high"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['high'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'high is no number'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"low"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['low'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"low"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['low'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'low is no number'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,18})\z', CASE WHEN NOT (REGEXP_EXTRACT('"start_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['start_timestamp'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"start_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['start_timestamp'], 'null') END AS BIGINT) END BETWEEN -9223372036854775807 AND 9223372036854775807, FALSE) THEN 'start_timestamp is no integer from -9223372036854775807 to 9223372036854775807'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,18})\z', CASE WHEN NOT (REGEXP_EXTRACT('"end_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['end_timestamp'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"end_timestamp"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['end_timestamp'], 'null') END AS BIGINT) END BETWEEN -9223372036854775807 AND 9223372036854775807, FALSE) THEN 'end_timestamp is no integer from -9223372036854775807 to 9223372036854775807'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]{1,18})\z', CASE WHEN NOT (REGEXP_EXTRACT('"received_at"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['received_at'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"received_at"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['received_at'], 'null') END AS BIGINT) END BETWEEN 0 AND 4102444800000000, FALSE) THEN 'received_at is no integer from 0 to 4102444800000000'
      WHEN NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('"source"\s*:\s*"', `message`) IS NOT NULL) THEN `fields`['source'] END IN ('rest', 'websocket'), FALSE) THEN 'source is none of rest websocket'
      WHEN COALESCE(`fields`['accumulated_volume'], 'null') <> 'null' AND NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"accumulated_volume"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['accumulated_volume'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'accumulated_volume is no number'
      WHEN COALESCE(`fields`['official_open_price'], 'null') <> 'null' AND NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"official_open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['official_open_price'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"official_open_price"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['official_open_price'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'official_open_price is no number'
      WHEN COALESCE(`fields`['vwap'], 'null') <> 'null' AND NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['vwap'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['vwap'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'vwap is no number'
      WHEN COALESCE(`fields`['aggregate_vwap'], 'null') <> 'null' AND NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"aggregate_vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['aggregate_vwap'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"aggregate_vwap"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['aggregate_vwap'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'aggregate_vwap is no number'
      WHEN COALESCE(`fields`['average_size'], 'null') <> 'null' AND NOT COALESCE(CASE WHEN (REGEXP_EXTRACT('^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\z', CASE WHEN NOT (REGEXP_EXTRACT('"average_size"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['average_size'], 'null') END) IS NOT NULL) THEN CAST(CASE WHEN NOT (REGEXP_EXTRACT('"average_size"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['average_size'], 'null') END AS DOUBLE) END BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'average_size is no number'
      WHEN COALESCE(`fields`['otc'], 'null') <> 'null' AND NOT COALESCE(CASE WHEN NOT (REGEXP_EXTRACT('"otc"\s*:\s*"', `message`) IS NOT NULL) THEN NULLIF(`fields`['otc'], 'null') END IN ('true', 'false'), FALSE) THEN 'otc is neither true nor false'
      WHEN COALESCE(`fields`['decimal_volume'], 'null') <> 'null' AND NOT COALESCE((REGEXP_EXTRACT('"decimal_volume"\s*:\s*"', `message`) IS NOT NULL), FALSE) THEN 'decimal_volume is no string'
      WHEN COALESCE(`fields`['decimal_accumulated_volume'], 'null') <> 'null' AND NOT COALESCE((REGEXP_EXTRACT('"decimal_accumulated_volume"\s*:\s*"', `message`) IS NOT NULL), FALSE) THEN 'decimal_accumulated_volume is no string'
    END AS `misread`
FROM polygon_fields
EMIT CHANGES;

CREATE STREAM polygon_judged WITH (KAFKA_TOPIC = 'polygon_ksqldb_judged', VALUE_FORMAT = 'JSON') AS
SELECT
  `message_key`,
  `raw` AS `raw`,
  `partition` AS `partition`,
  `offset` AS `offset`,
  `event_type` AS `event_type`,
  `symbol` AS `symbol`,
  `volume` AS `volume`,
  `open_price` AS `open_price`,
  `close_price` AS `close_price`,
  `high` AS `high`,
  `low` AS `low`,
  `start_timestamp` AS `start_timestamp`,
  `end_timestamp` AS `end_timestamp`,
  `received_at` AS `received_at`,
  `source` AS `source`,
  `accumulated_volume` AS `accumulated_volume`,
  `official_open_price` AS `official_open_price`,
  `vwap` AS `vwap`,
  `aggregate_vwap` AS `aggregate_vwap`,
  `average_size` AS `average_size`,
  `otc` AS `otc`,
  `average_size_text` AS `average_size_text`,
  `misread` AS `misread`,
  SUBSTRING(CASE
      WHEN `misread` IS NOT NULL THEN CONCAT('not a raw aggregate: ', `misread`)
      WHEN `event_type` <> 'A' THEN CONCAT('event_type ''', `event_type`, ''' is not the per-second aggregate ''A''')
      WHEN SUBSTRING(`symbol`, 1, 20) <> `symbol` OR NOT (REGEXP_EXTRACT('^(?:[A-Z][A-Za-z0-9]*(?:[./-][A-Za-z0-9]+)*)\z', `symbol`) IS NOT NULL) THEN CONCAT('symbol ''', SUBSTRING(`symbol`, 1, 40), ''' is not a ticker symbol')
      WHEN `end_timestamp` - `start_timestamp` <> 1000 THEN CONCAT('window of ', CAST(`end_timestamp` - `start_timestamp` AS STRING), ' ms from ', CAST(`start_timestamp` AS STRING), ' is not one second')
      WHEN `start_timestamp` % 1000 <> 0 THEN CONCAT('start_timestamp ', CAST(`start_timestamp` AS STRING), ' is not a whole second')
      WHEN `start_timestamp` < 1041379200000 THEN CONCAT('start_timestamp ', CAST(`start_timestamp` AS STRING), ' is before 2003: not Unix milliseconds?')
      WHEN `end_timestamp` > `received_at` / 1000 + 60000 THEN CONCAT('end_timestamp ', CAST(`end_timestamp` AS STRING), ' is ', CAST(ROUND(CAST((`end_timestamp` - `received_at` / 1000) AS DOUBLE) / 1000.0, 1) AS STRING), ' s later than its arrival at ', CAST(`received_at` / 1000 AS STRING), ': the vendor''s clock or this machine''s is wrong')
      WHEN NOT (`low` > 0 AND `low` <= `open_price` AND `open_price` <= `high` AND `low` <= `close_price` AND `close_price` <= `high`) THEN CONCAT('prices must be > 0 and low <= open, close <= high: ', 'open ', CAST(`open_price` AS STRING), ', high ', CAST(`high` AS STRING), ', low ', CAST(`low` AS STRING), ', close ', CAST(`close_price` AS STRING))
      WHEN `vwap` <= 0 THEN CONCAT('vwap ', CAST(`vwap` AS STRING), ' must be > 0')
      WHEN `official_open_price` <= 0 THEN CONCAT('official_open_price ', CAST(`official_open_price` AS STRING), ' must be > 0')
      WHEN `aggregate_vwap` <= 0 THEN CONCAT('aggregate_vwap ', CAST(`aggregate_vwap` AS STRING), ' must be > 0')
      WHEN `volume` IS NOT NULL AND NOT (REGEXP_EXTRACT('^(?:[0-9]{1,12}(?:\.[0-9]{1,6})?)\z', `volume`) IS NOT NULL) THEN CONCAT('volume ''', `volume`, ''' must be >= 0 with at most 12 digits before and 6 after the point')
      WHEN `accumulated_volume` IS NOT NULL AND NOT (REGEXP_EXTRACT('^(?:[0-9]{1,12}(?:\.[0-9]{1,6})?)\z', `accumulated_volume`) IS NOT NULL) THEN CONCAT('accumulated_volume ''', `accumulated_volume`, ''' must be >= 0 with at most 12 digits before and 6 after the point')
      WHEN `average_size` < 0 THEN CONCAT('average_size ', `average_size_text`, ' must be >= 0')
    END, 1, 1000) AS `reason`
FROM polygon_typed
EMIT CHANGES;

CREATE STREAM polygon_filtered WITH (KAFKA_TOPIC = 'custom_filtered_stock_data_topic', VALUE_FORMAT = 'JSON') AS
SELECT
  `message_key`,
  `symbol` AS `symbol`,
  `start_timestamp` AS `start_timestamp`,
  `end_timestamp` AS `end_timestamp`,
  `open_price` AS `open`,
  `high` AS `high`,
  `low` AS `low`,
  `close_price` AS `close`,
  `volume` AS `volume`,
  `vwap` AS `vwap`,
  `accumulated_volume` AS `accumulated_volume`,
  `official_open_price` AS `official_open_price`,
  `aggregate_vwap` AS `aggregate_vwap`,
  `average_size` AS `average_size`,
  `otc` AS `otc`,
  `received_at` AS `received_at`,
  `source` AS `source`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(`start_timestamp`), 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''', 'UTC') AS `readable_timestamp`
FROM polygon_judged
WHERE `reason` IS NULL
EMIT CHANGES;

CREATE STREAM polygon_refused WITH (KAFKA_TOPIC = 'polygon_dead_letters', VALUE_FORMAT = 'JSON') AS
SELECT
  `message_key`,
  'filter' AS `program`,
  'validate' AS `stage`,
  `reason` AS `reason`,
  `raw` AS `raw`,
  UNIX_TIMESTAMP() * 1000 AS `refused_at`,
  'polygon_stream_aggregates' AS `topic`,
  `partition` AS `partition`,
  `offset` AS `offset`
FROM polygon_judged
WHERE `reason` IS NOT NULL
EMIT CHANGES;
