"""A trading day rebuilt from the raw archive and compared with what ClickHouse has stored.

Add how a day is rebuilt, compared or mended here; writing the archive belongs to
`streaming.archiver`, its objects to `clients.archive_store`.
"""
