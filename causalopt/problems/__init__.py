"""The optimization problems of causal inference, one file a problem."""
