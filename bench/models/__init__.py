"""Which models there are, and how each becomes a complete local folder."""
