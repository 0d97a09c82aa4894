"""The robust McNemar test: binary outcomes, over all matchings with n discordant pairs.

Morucci, Noor-E-Alam and Rudin (2022), A robust approach to quantifying uncertainty in matching problems of causal
inference, INFORMS Journal on Data Science 1:156-171; cited as [RT].
"""

from causalopt.problems.robust.mcnemar.problem import RobustMcNemarProblem as RobustMcNemarProblem
from causalopt.problems.robust.mcnemar.result import RobustMcNemarResult as RobustMcNemarResult
