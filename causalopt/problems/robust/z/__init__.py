"""The robust Z test."""
