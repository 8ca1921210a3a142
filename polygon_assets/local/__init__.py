"""The embedded stack: servers on 127.0.0.1 that speak production's protocols. No shipped code but the command line imports it."""
