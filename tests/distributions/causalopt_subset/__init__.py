"""The largest balanced subset of controls: a problem for causalopt that comes with a distribution of its own."""
