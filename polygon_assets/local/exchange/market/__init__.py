"""The synthetic market: final bars of every ticker at any moment, a pure function of the seed.

Add what the market does here; how it is streamed or asked for belongs to `stream` and `rest`.
"""
