"""The regression gate: whether what a study found still holds, against a small baseline that is kept with the code."""
