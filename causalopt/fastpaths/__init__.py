"""Hand-written exact algorithms, one file an algorithm; their answers are verified like any solver's."""
