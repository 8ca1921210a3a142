-- The shards of a cluster and how many replicas each has.
SELECT shard_num, count() AS replicas
FROM system.clusters
WHERE cluster = {cluster:String}
GROUP BY shard_num
