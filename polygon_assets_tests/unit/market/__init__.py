"""Questions about the stored market, against answers in plain Python."""
