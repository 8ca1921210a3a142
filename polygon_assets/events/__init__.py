"""One event of the stream: read from the vendor's frame, judged, and made a row.

Add pure functions of one event or frame here; programs, connections and topics belong to
`streaming`, and the replay of refused ones to `dead_letters`.
"""
