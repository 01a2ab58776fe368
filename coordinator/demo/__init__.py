"""A throw-away repository with real PRDs, for seeing prd-tui work."""
