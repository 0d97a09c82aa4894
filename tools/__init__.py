"""Commands for people who work on causalopt; no part of the package."""
