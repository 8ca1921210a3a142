"""From a kept dead letter back into the stream: joined, read again, published, recorded.

Add what happens to a letter after the sink has stored it here; why an event is refused belongs to
`events.validation`, loading letters to `streaming`, the tables to `serving.dead_letters`.
"""
