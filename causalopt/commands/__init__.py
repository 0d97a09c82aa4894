"""The commands of `causalopt`: one module a command, and what they share."""
