"""The law that `plan` uses until there is one of one's own: Hoffmann's form on Chinchilla's runs.

Fitted with `fit_parametric` to the 245 runs that Besiroglu et al. (2024, "Chinchilla Scaling: A
replication attempt") read off figure 4 of Hoffmann et al. (2022), less the 5 of highest loss. Their
own table gives E 1.8172, A 482.01, B 2085.43, alpha 0.3478, beta 0.3658, nearly the same minimum.
`benchmarks/scaling_fit.py` makes all numbers of this page again from the points.
"""

from __future__ import annotations

import numpy as np

from gristmill.scaling.parametric import Parametric

# E, A, B, alpha, beta at the minimum of the objective.
MINIMUM = (1.8172180991, 477.825874, 2143.417344, 0.3473104996, 0.3671724321)
OBJECTIVE = 0.0010182740178
# Means of log N and log D over the 240 runs: there the two terms hardly depend on the exponents.
MIDDLE = (20.559282582879277, 23.553231356058667)
# Of log E, log A - alpha log N, log B - beta log D at the middle, alpha, beta: 1,000 resamples.
COVARIANCE = (
    (2.060913921e-04, -4.343785018e-04, -5.940359585e-04, 1.205397772e-04, 1.950611046e-04),
    (-4.343785018e-04, 3.207901493e-03, -1.186196445e-03, -8.190977796e-04, 3.145308650e-04),
    (-5.940359585e-04, -1.186196445e-03, 4.338507956e-03, 2.519143749e-04, -1.351139082e-03),
    (1.205397772e-04, -8.190977796e-04, 2.519143749e-04, 2.146670698e-04, -6.741200300e-05),
    (1.950611046e-04, 3.145308650e-04, -1.351139082e-03, -6.741200300e-05, 4.322890053e-04),
)
FITTED = (1.4e18, 1.3e22)
"""FLOPs of the smallest and the largest run behind the law."""
_DRAWS = 2000


def chinchilla_law() -> Parametric:
    """The law, with draws from the normal distribution of its resamples."""
    E, A, B, alpha, beta = MINIMUM
    log_N, log_D = MIDDLE
    mean = [np.log(E), np.log(A) - alpha * log_N, np.log(B) - beta * log_D, alpha, beta]
    normal = np.random.default_rng(0).standard_normal((_DRAWS, 5))
    # By the Cholesky factor: the same draws wherever it runs, up to rounding.
    draws = np.array(mean) + normal @ np.linalg.cholesky(np.array(COVARIANCE)).T
    alphas, betas = draws[:, 3], draws[:, 4]
    draws_S5 = np.stack(
        [
            np.exp(draws[:, 0]),
            np.exp(draws[:, 1] + alphas * log_N),
            np.exp(draws[:, 2] + betas * log_D),
            alphas,
            betas,
        ],
        axis=1,
    )
    return Parametric(*MINIMUM, OBJECTIVE, draws_S5, np.empty(0))
