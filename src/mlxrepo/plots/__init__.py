"""Plots: from the bytes of files to figures, and from figures to one page that opens offline.

Pure: it knows no repository, no revision but by its name, and starts nothing.
"""
