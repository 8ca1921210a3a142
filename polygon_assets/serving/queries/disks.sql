-- ClickHouse's disks, and the bytes that may still be written to each.
SELECT name, free_space FROM system.disks
