"""Claims of solvers, and what recomputation from the program makes of them."""
