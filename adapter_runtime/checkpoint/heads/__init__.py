"""Heads of both libraries, of task classes, and of the backbone itself."""
