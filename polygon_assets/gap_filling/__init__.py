"""From a missed interval to verified rows: found, fetched by REST, published, compared, closed.

Add what happens to a gap after the producer has reported it here; the tracker of a running
producer belongs to `streaming`, the ledger's table to `serving`, and jobs and sensors to `defs`.
"""
