"""What the vendor's plan includes, found by asking: endpoints in `rest`, channels in `stream`."""
