"""Array-backed Pyomo components, and their compilation to the arrays of one program."""
