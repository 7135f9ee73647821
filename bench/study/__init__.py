"""A study: propose candidates, evaluate, keep the front, confirm it."""
