"""What a person should label: training rows whose labels are contradicted, and texts that have none yet."""

from bench.labelling.suspects import Suspect, Suspects, suspects
from bench.labelling.unlabelled import ToLabel, Unlabelled, to_label

__all__ = ["Suspect", "Suspects", "ToLabel", "Unlabelled", "suspects", "to_label"]
