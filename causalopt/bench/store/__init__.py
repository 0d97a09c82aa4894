"""Runs on disk: how a run ended, what is kept of it, and the file that keeps it."""
