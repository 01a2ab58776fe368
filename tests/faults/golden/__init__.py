"""What each released version left behind: a registry and the records of its runs, made by really running it.

With a new version in pyproject.toml a new set is due, made by that version itself and kept for good:

    python -m tests.faults.golden

A set that is there is never made anew: what was released once lies in people's repositories.
"""
