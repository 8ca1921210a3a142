"""The synthetic market: final bars of every ticker at any moment, a pure function of the seed.

Add behaviour of the market here; the protocols belong to `stream` and `rest`.
"""
