"""From photographs to masks: `Predictor` and what it gives, `Prediction`."""

from .prediction import Prediction
from .predictor import Predictor

__all__ = ["Prediction", "Predictor"]
