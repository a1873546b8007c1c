"""PEFT files: one module for each kind of adapter."""
