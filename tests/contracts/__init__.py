"""What every registered part must hold to: a class of tests a kind of part, which runs for each entry of its registry.

A test module subclasses such a class under a name that begins with `Test`.
"""
