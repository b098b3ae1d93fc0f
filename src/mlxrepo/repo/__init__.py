"""The repository: where things are and what its committed files say. The only importer of git."""
