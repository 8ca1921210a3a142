"""The simulated exchange: the vendor's WebSocket and REST protocols over a synthetic market.

Add behaviour of the vendor here; the pipeline that reads from the exchange belongs elsewhere, and
nothing here imports it.
"""
