"""From a kept dead letter back into the stream: joined, read again, published, recorded.

Add what happens to a letter after the sink has stored it here; refusing and loading belong to
`streaming`, the tables to `serving.dead_letters`, reading and judging one event to `events`.
"""
