"""From weights and designs to estimates, standard errors and intervals."""
