"""Nets: one architecture a file, torch only."""
