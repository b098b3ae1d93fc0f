"""Rows of two versions of a table: reading them, when cells are the same, what differs by key.

Floor 0: bytes come from whoever asks. Loads pandas, so only where rows are asked for.
"""
