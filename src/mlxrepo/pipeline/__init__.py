"""The pipeline: stages as a graph, what each needs, what to do about it, and doing it."""
