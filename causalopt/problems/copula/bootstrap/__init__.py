"""The causal bootstrap on a worst-case copula."""
