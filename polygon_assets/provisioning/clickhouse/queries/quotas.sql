-- Quotas by name: whom each counts, by which key, and its limits for intervals of an hour.
SELECT
    q.name AS name,
    q.storage AS storage,
    q.keys,
    q.apply_to_all,
    q.apply_to_list,
    q.apply_to_except,
    has(q.durations, {seconds:UInt32}) AS has_interval,
    l.max_queries,
    l.max_errors,
    l.max_execution_time
FROM system.quotas AS q
LEFT JOIN (
    SELECT * FROM system.quota_limits WHERE duration = {seconds:UInt32}
) AS l ON l.quota_name = q.name
WHERE q.name IN {names:Array(String)}
