"""The page: the market and its proof, side by side, in a browser. It reads and never writes.

`readings` asks the sources for all visitors at once; `market_view`, `symbol_view`, `trust_view` and
`cost_view` draw what was read; `server` gives each view its address. Add a panel to the view of its
subject; its question belongs to `polygon_assets.market` or `sources`.
"""
