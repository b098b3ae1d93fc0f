"""mlx: git-style versioning of data, models and the pipeline between them."""

__version__ = "0.1.0"
