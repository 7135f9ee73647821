"""The paper's tables and figures over any models and data sets, and the questions that it leaves open."""
