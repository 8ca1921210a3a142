"""Runs every reader of outside input on mutated inputs: `make fuzz`.

Add an input of the project to `targets`; a test of one rule belongs to `polygon_assets_tests`.
"""
