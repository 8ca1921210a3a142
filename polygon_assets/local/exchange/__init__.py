"""The simulated exchange: the vendor's WebSocket and REST protocols over a synthetic market.

Everything that imitates the vendor lives here; nothing here knows the pipeline that reads from it.
"""
