"""The command line: parse, call, print. No work is done here, and click is imported nowhere else."""
