"""Where files come from: local folders, installed packages, the hub."""
