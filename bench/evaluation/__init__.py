"""From a candidate to scores over seeds and folds."""
