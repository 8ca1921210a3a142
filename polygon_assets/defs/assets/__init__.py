"""Assets, one module per system."""
