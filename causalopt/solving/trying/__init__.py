"""From a program and one solver to an answer that holds: units, parts, methods, tangents, last digits."""
