"""The dashboard's style sheets, read through `importlib.resources`."""
