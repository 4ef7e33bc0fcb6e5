"""Predictor-corrector multistep solvers in the log-SNR: UniPC and SA-Solver."""

from dataclasses import replace

import numpy as np

from mindscience_diffuser.plan import linear_combination, substituted
from mindscience_diffuser.schedulers.exponential.exponential import past
from mindscience_diffuser.schedulers.exponential.multistep import SAMPLE, MultistepMethod


class PredictorCorrectorMethod(MultistepMethod):
    """The plan of the solvers that correct a sample once the model has seen it.

    Predictor and corrector of a step differ only in the weights of the predictions, so that correcting is adding the
    difference to the predicted sample: nothing but predictions is remembered.
    """

    def predictor_corrector_plan(self, step, orders, corrector_orders, corrects, predictor=None):
        """Returns the plan whose rows correct the sample that they are given and then predict the next one.

        Args:
            step (ExponentialStep): The steps.
            orders (numpy.ndarray): Number of predictions that each step's predictor uses, shape ``(n,)``.
            corrector_orders (numpy.ndarray): Likewise its corrector, counting that at the end of the step.
            corrects (numpy.ndarray): Whether a row corrects its sample, which is the end of the step before it.
            predictor (StepPlan, optional): Plan whose rows predict the next sample instead. Default: ``None``.
        """
        lambdas, most = self.log_snrs(), self.most_corrector_predictions
        weights = step.weights(past(lambdas[:-1], self.most_predictions), orders, self.slope_rule)
        nodes = np.concatenate([lambdas[None, 1:], past(lambdas[:-1], most - 1)]) if most > 1 else lambdas[None, 1:]
        corrected = step.weights(nodes, corrector_orders, self.slope_rule)
        remembers = max(most - 1, self.most_predictions)
        predictions = self.predictions(remembers)
        change = np.zeros((remembers + 1, len(orders)))
        change[:most, 1:] = corrected[:, :-1]
        if predictor is None:
            start, states = self.corrected(step, weights, change, corrects, predictions)
            return self.multistep_plan(step, weights, remembers, start, **states)
        start = linear_combination(
            (1.0 - corrects, SAMPLE), (1.0 * corrects, {"base": 1.0}), *zip(change * corrects, predictions)
        )
        plan = self.multistep_plan(step, weights, remembers, start, base=linear_combination((step.linear, start)))
        return replace(plan, states={**plan.states, **_predicted_from(start, predictor)})

    def corrected(self, step, weights, change, corrects, predictions):
        """Returns the corrected sample, and the states that it needs besides predictions: none.

        Args:
            step (ExponentialStep): The steps.
            weights (numpy.ndarray): Weights of the predictor, ``(m, n)``.
            change (numpy.ndarray): Weights of the corrector of the step before each row, ``(k, n)``.
            corrects (numpy.ndarray): Whether a row corrects its sample.
            predictions (list of Weights): The predictions that both belong to, the latest first.
        """
        change[1 : len(weights) + 1, 1:] -= weights[:, :-1]
        return linear_combination((1.0, SAMPLE), *zip(change * corrects, predictions)), {}


def _predicted_from(start, predictor):
    """Returns the states of the plan `predictor` where its sample is `start`, what it remembers under other names."""
    names = {name: "sample" if name == "sample" else f"predictor_{name}" for name in predictor.states}
    return {
        names[state]: substituted({names.get(name, name): weight for name, weight in weights.items()}, "sample", start)
        for state, weights in predictor.folded().states.items()
    }
