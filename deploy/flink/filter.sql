-- The filter as a job of Flink SQL, generated from polygon_assets/provisioning/engine_filter.
-- `polygon-assets engine-filter flink` prints it for your brokers and your accepted set;
-- docs/engines.md says how to run it and what differs from our filter.

SET 'pipeline.name' = 'polygon_filter_flink';

SET 'execution.checkpointing.interval' = '1 s';

SET 'table.local-time-zone' = 'UTC';

CREATE TEMPORARY TABLE `received` (
  `raw` BYTES,
  `topic` STRING METADATA VIRTUAL,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = 'polygon_stream_aggregates',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.group.id' = 'polygon_filter_flink',
  'properties.auto.offset.reset' = 'earliest',
  'scan.startup.mode' = 'group-offsets',
  'format' = 'raw'
);

CREATE TEMPORARY TABLE `filtered` (
  `symbol` STRING,
  `start_timestamp` BIGINT,
  `end_timestamp` BIGINT,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` STRING,
  `vwap` DOUBLE,
  `accumulated_volume` STRING,
  `official_open_price` DOUBLE,
  `aggregate_vwap` DOUBLE,
  `average_size` DOUBLE,
  `otc` BOOLEAN,
  `received_at` BIGINT,
  `source` STRING,
  `readable_timestamp` STRING
) WITH (
  'connector' = 'kafka',
  'topic' = 'custom_filtered_stock_data_topic',
  'properties.bootstrap.servers' = 'broker:9092',
  'value.format' = 'json',
  'key.format' = 'raw',
  'key.fields' = 'symbol',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'polygon_filter_flink_filtered',
  'properties.transaction.timeout.ms' = '900000'
);

CREATE TEMPORARY TABLE `dead_letters` (
  `program` STRING,
  `stage` STRING,
  `reason` STRING,
  `raw` BYTES,
  `refused_at` BIGINT,
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT
) WITH (
  'connector' = 'kafka',
  'topic' = 'polygon_dead_letters',
  'properties.bootstrap.servers' = 'broker:9092',
  'value.format' = 'json',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'polygon_filter_flink_dead_letters',
  'properties.transaction.timeout.ms' = '900000'
);

CREATE TEMPORARY VIEW `decoded` AS
SELECT COALESCE(`raw`, X'') AS `raw`, `topic`, `partition`, `offset`,
  DECODE(COALESCE(`raw`, X''), 'UTF-8') AS `message`
FROM `received`;

CREATE TEMPORARY VIEW `parsed` AS
SELECT * FROM `decoded` CROSS JOIN UNNEST(ARRAY[ROW(
  (ENCODE(`message`, 'UTF-8') = `raw` AND `message` IS JSON OBJECT
    AND CONCAT('[', `message`, ']') IS JSON ARRAY
    AND CONCAT('{"one":', `message`, '}') IS JSON OBJECT),
  JSON_QUERY(`message`, '$.event_type' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.symbol' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.volume' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.open_price' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.close_price' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.high' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.low' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.start_timestamp' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.end_timestamp' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.received_at' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.source' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.accumulated_volume' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.official_open_price' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.vwap' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.aggregate_vwap' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.average_size' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.otc' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.decimal_volume' WITH UNCONDITIONAL ARRAY WRAPPER),
  JSON_QUERY(`message`, '$.decimal_accumulated_volume' WITH UNCONDITIONAL ARRAY WRAPPER)
)]) AS `computed` (`is_object`, `event_type_array`, `symbol_array`, `volume_array`, `open_price_array`, `close_price_array`, `high_array`, `low_array`, `start_timestamp_array`, `end_timestamp_array`, `received_at_array`, `source_array`, `accumulated_volume_array`, `official_open_price_array`, `vwap_array`, `aggregate_vwap_array`, `average_size_array`, `otc_array`, `decimal_volume_array`, `decimal_accumulated_volume_array`);

CREATE TEMPORARY VIEW `fields` AS
SELECT `raw`, `topic`, `partition`, `offset`, `message`, `is_object`,
  SUBSTRING(`event_type_array`, 2, CHAR_LENGTH(`event_type_array`) - 2) AS `event_type_json`, 
  SUBSTRING(`symbol_array`, 2, CHAR_LENGTH(`symbol_array`) - 2) AS `symbol_json`, 
  SUBSTRING(`volume_array`, 2, CHAR_LENGTH(`volume_array`) - 2) AS `volume_json`, 
  SUBSTRING(`open_price_array`, 2, CHAR_LENGTH(`open_price_array`) - 2) AS `open_price_json`, 
  SUBSTRING(`close_price_array`, 2, CHAR_LENGTH(`close_price_array`) - 2) AS `close_price_json`, 
  SUBSTRING(`high_array`, 2, CHAR_LENGTH(`high_array`) - 2) AS `high_json`, 
  SUBSTRING(`low_array`, 2, CHAR_LENGTH(`low_array`) - 2) AS `low_json`, 
  SUBSTRING(`start_timestamp_array`, 2, CHAR_LENGTH(`start_timestamp_array`) - 2) AS `start_timestamp_json`, 
  SUBSTRING(`end_timestamp_array`, 2, CHAR_LENGTH(`end_timestamp_array`) - 2) AS `end_timestamp_json`, 
  SUBSTRING(`received_at_array`, 2, CHAR_LENGTH(`received_at_array`) - 2) AS `received_at_json`, 
  SUBSTRING(`source_array`, 2, CHAR_LENGTH(`source_array`) - 2) AS `source_json`, 
  SUBSTRING(`accumulated_volume_array`, 2, CHAR_LENGTH(`accumulated_volume_array`) - 2) AS `accumulated_volume_json`, 
  SUBSTRING(`official_open_price_array`, 2, CHAR_LENGTH(`official_open_price_array`) - 2) AS `official_open_price_json`, 
  SUBSTRING(`vwap_array`, 2, CHAR_LENGTH(`vwap_array`) - 2) AS `vwap_json`, 
  SUBSTRING(`aggregate_vwap_array`, 2, CHAR_LENGTH(`aggregate_vwap_array`) - 2) AS `aggregate_vwap_json`, 
  SUBSTRING(`average_size_array`, 2, CHAR_LENGTH(`average_size_array`) - 2) AS `average_size_json`, 
  SUBSTRING(`otc_array`, 2, CHAR_LENGTH(`otc_array`) - 2) AS `otc_json`, 
  SUBSTRING(`decimal_volume_array`, 2, CHAR_LENGTH(`decimal_volume_array`) - 2) AS `decimal_volume_json`, 
  SUBSTRING(`decimal_accumulated_volume_array`, 2, CHAR_LENGTH(`decimal_accumulated_volume_array`) - 2) AS `decimal_accumulated_volume_json`
FROM `parsed`;

CREATE TEMPORARY VIEW `typed` AS
SELECT * FROM `fields` CROSS JOIN UNNEST(ARRAY[ROW(
  CASE WHEN `event_type_json` LIKE '"%' THEN JSON_VALUE(`message`, '$.event_type') END,
  CASE WHEN `symbol_json` LIKE '"%' THEN JSON_VALUE(`message`, '$.symbol') END,
  COALESCE(CASE WHEN `decimal_volume_json` LIKE '"%' THEN JSON_VALUE(`message`, '$.decimal_volume') END, CASE WHEN REGEXP(`volume_json`, '^(?:-?[0-9]+)\z') THEN `volume_json` END, REGEXP_REPLACE(CAST(TRY_CAST(`volume_json` AS DECIMAL(38, 25)) AS STRING), '\.?0+\z', ''), `volume_json`),
  TRY_CAST(`open_price_json` AS DOUBLE),
  TRY_CAST(`close_price_json` AS DOUBLE),
  TRY_CAST(`high_json` AS DOUBLE),
  TRY_CAST(`low_json` AS DOUBLE),
  CASE WHEN REGEXP(`start_timestamp_json`, '^(?:-?[0-9]+)\z') THEN TRY_CAST(`start_timestamp_json` AS BIGINT) END,
  CASE WHEN REGEXP(`end_timestamp_json`, '^(?:-?[0-9]+)\z') THEN TRY_CAST(`end_timestamp_json` AS BIGINT) END,
  CASE WHEN REGEXP(`received_at_json`, '^(?:-?[0-9]+)\z') THEN TRY_CAST(`received_at_json` AS BIGINT) END,
  CASE WHEN `source_json` LIKE '"%' THEN JSON_VALUE(`message`, '$.source') END,
  COALESCE(CASE WHEN `decimal_accumulated_volume_json` LIKE '"%' THEN JSON_VALUE(`message`, '$.decimal_accumulated_volume') END, CASE WHEN REGEXP(`accumulated_volume_json`, '^(?:-?[0-9]+)\z') THEN `accumulated_volume_json` END, REGEXP_REPLACE(CAST(TRY_CAST(`accumulated_volume_json` AS DECIMAL(38, 25)) AS STRING), '\.?0+\z', ''), `accumulated_volume_json`),
  TRY_CAST(`official_open_price_json` AS DOUBLE),
  TRY_CAST(`vwap_json` AS DOUBLE),
  TRY_CAST(`aggregate_vwap_json` AS DOUBLE),
  TRY_CAST(`average_size_json` AS DOUBLE),
  CASE WHEN `otc_json` = 'true' THEN TRUE ELSE FALSE END,
  `average_size_json`,
  CASE
      WHEN NOT `is_object` THEN 'no JSON object in UTF-8'
      WHEN NOT COALESCE(`event_type_json` LIKE '"%', FALSE) THEN 'event_type is no string'
      WHEN NOT COALESCE(`symbol_json` LIKE '"%', FALSE) THEN 'symbol is no string'
      WHEN NOT COALESCE(TRY_CAST(`volume_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'volume is no number'
      WHEN NOT COALESCE(TRY_CAST(`open_price_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'open_price is no number'
      WHEN NOT COALESCE(TRY_CAST(`close_price_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'close_price is no number'
      WHEN NOT COALESCE(TRY_CAST(`high_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'high is no number'
      WHEN NOT COALESCE(TRY_CAST(`low_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'low is no number'
      WHEN NOT COALESCE(CASE WHEN REGEXP(`start_timestamp_json`, '^(?:-?[0-9]+)\z') THEN TRY_CAST(`start_timestamp_json` AS BIGINT) END BETWEEN -9223372036854775807 AND 9223372036854775807, FALSE) THEN 'start_timestamp is no integer from -9223372036854775807 to 9223372036854775807'
      WHEN NOT COALESCE(CASE WHEN REGEXP(`end_timestamp_json`, '^(?:-?[0-9]+)\z') THEN TRY_CAST(`end_timestamp_json` AS BIGINT) END BETWEEN -9223372036854775807 AND 9223372036854775807, FALSE) THEN 'end_timestamp is no integer from -9223372036854775807 to 9223372036854775807'
      WHEN NOT COALESCE(CASE WHEN REGEXP(`received_at_json`, '^(?:-?[0-9]+)\z') THEN TRY_CAST(`received_at_json` AS BIGINT) END BETWEEN 0 AND 4102444800000000, FALSE) THEN 'received_at is no integer from 0 to 4102444800000000'
      WHEN NOT COALESCE(CASE WHEN `source_json` LIKE '"%' THEN JSON_VALUE(`message`, '$.source') END IN ('rest', 'websocket'), FALSE) THEN 'source is none of rest websocket'
      WHEN `accumulated_volume_json` IS NOT NULL AND NOT COALESCE(TRY_CAST(`accumulated_volume_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'accumulated_volume is no number'
      WHEN `official_open_price_json` IS NOT NULL AND NOT COALESCE(TRY_CAST(`official_open_price_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'official_open_price is no number'
      WHEN `vwap_json` IS NOT NULL AND NOT COALESCE(TRY_CAST(`vwap_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'vwap is no number'
      WHEN `aggregate_vwap_json` IS NOT NULL AND NOT COALESCE(TRY_CAST(`aggregate_vwap_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'aggregate_vwap is no number'
      WHEN `average_size_json` IS NOT NULL AND NOT COALESCE(TRY_CAST(`average_size_json` AS DOUBLE) BETWEEN -1.7976931348623157E308 AND 1.7976931348623157E308, FALSE) THEN 'average_size is no number'
      WHEN `otc_json` IS NOT NULL AND NOT COALESCE(`otc_json` IN ('true', 'false'), FALSE) THEN 'otc is neither true nor false'
      WHEN `decimal_volume_json` IS NOT NULL AND NOT COALESCE(`decimal_volume_json` LIKE '"%', FALSE) THEN 'decimal_volume is no string'
      WHEN `decimal_accumulated_volume_json` IS NOT NULL AND NOT COALESCE(`decimal_accumulated_volume_json` LIKE '"%', FALSE) THEN 'decimal_accumulated_volume is no string'
    END
)]) AS `computed` (`event_type`, `symbol`, `volume`, `open_price`, `close_price`, `high`, `low`, `start_timestamp`, `end_timestamp`, `received_at`, `source`, `accumulated_volume`, `official_open_price`, `vwap`, `aggregate_vwap`, `average_size`, `otc`, `average_size_text`, `misread`);

CREATE TEMPORARY VIEW `judged` AS
SELECT * FROM `typed` CROSS JOIN UNNEST(ARRAY[ROW(
  SUBSTRING(CASE
      WHEN `misread` IS NOT NULL THEN CONCAT('not a raw aggregate: ', `misread`)
      WHEN `event_type` <> 'A' THEN CONCAT('event_type ''', `event_type`, ''' is not the per-second aggregate ''A''')
      WHEN SUBSTRING(`symbol`, 1, 20) <> `symbol` OR NOT REGEXP(`symbol`, '^(?:[A-Z][A-Za-z0-9]*(?:[./-][A-Za-z0-9]+)*)\z') THEN CONCAT('symbol ''', SUBSTRING(`symbol`, 1, 40), ''' is not a ticker symbol')
      WHEN `end_timestamp` - `start_timestamp` <> 1000 THEN CONCAT('window of ', CAST(`end_timestamp` - `start_timestamp` AS STRING), ' ms from ', CAST(`start_timestamp` AS STRING), ' is not one second')
      WHEN `start_timestamp` % 1000 <> 0 THEN CONCAT('start_timestamp ', CAST(`start_timestamp` AS STRING), ' is not a whole second')
      WHEN `start_timestamp` < 1041379200000 THEN CONCAT('start_timestamp ', CAST(`start_timestamp` AS STRING), ' is before 2003: not Unix milliseconds?')
      WHEN `end_timestamp` > `received_at` / 1000 + 60000 THEN CONCAT('end_timestamp ', CAST(`end_timestamp` AS STRING), ' is ', CAST(ROUND(CAST((`end_timestamp` - `received_at` / 1000) AS DOUBLE) / 1000.0, 1) AS STRING), ' s later than its arrival at ', CAST(`received_at` / 1000 AS STRING), ': the vendor''s clock or this machine''s is wrong')
      WHEN NOT (`low` > 0 AND `low` <= `open_price` AND `open_price` <= `high` AND `low` <= `close_price` AND `close_price` <= `high`) THEN CONCAT('prices must be > 0 and low <= open, close <= high: ', 'open ', CAST(`open_price` AS STRING), ', high ', CAST(`high` AS STRING), ', low ', CAST(`low` AS STRING), ', close ', CAST(`close_price` AS STRING))
      WHEN `vwap` <= 0 THEN CONCAT('vwap ', CAST(`vwap` AS STRING), ' must be > 0')
      WHEN `official_open_price` <= 0 THEN CONCAT('official_open_price ', CAST(`official_open_price` AS STRING), ' must be > 0')
      WHEN `aggregate_vwap` <= 0 THEN CONCAT('aggregate_vwap ', CAST(`aggregate_vwap` AS STRING), ' must be > 0')
      WHEN `volume` IS NOT NULL AND NOT REGEXP(`volume`, '^(?:[0-9]{1,12}(?:\.[0-9]{1,6})?)\z') THEN CONCAT('volume ''', `volume`, ''' must be >= 0 with at most 12 digits before and 6 after the point')
      WHEN `accumulated_volume` IS NOT NULL AND NOT REGEXP(`accumulated_volume`, '^(?:[0-9]{1,12}(?:\.[0-9]{1,6})?)\z') THEN CONCAT('accumulated_volume ''', `accumulated_volume`, ''' must be >= 0 with at most 12 digits before and 6 after the point')
      WHEN `average_size` < 0 THEN CONCAT('average_size ', `average_size_text`, ' must be >= 0')
    END, 1, 1000)
)]) AS `computed` (`reason`);

EXECUTE STATEMENT SET BEGIN
INSERT INTO `filtered`
SELECT
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
  DATE_FORMAT(TO_TIMESTAMP_LTZ(`start_timestamp`, 3), 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''') AS `readable_timestamp`
FROM `judged` WHERE `reason` IS NULL;
INSERT INTO `dead_letters`
SELECT 'filter', 'validate', `reason`, `raw`,
  UNIX_TIMESTAMP() * 1000000, `topic`, `partition`, `offset`
FROM `judged` WHERE `reason` IS NOT NULL;
END;
