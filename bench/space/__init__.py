"""The search space: declarative files, the candidates they hold, and their canonical form."""
