"""Data sets: what is known about them (`rows`), where they come from (`sources`), and what the rest reads (`load`)."""
