"""The exchange's WebSocket: connections, subscriptions, and the events of each second.

Add a message or a behaviour of the stream here; the numbers in it belong to `market`.
"""
