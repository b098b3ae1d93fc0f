"""The store: bytes to oids and back. It knows no git, no stage and no model."""
