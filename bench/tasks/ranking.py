"""What tasks have in common that rank representations: classes say which rows belong together, and train nothing."""

from dataclasses import replace

from bench.tasks.classification import CLASSIFICATION

RANKING = replace(
    CLASSIFICATION,
    ranks=True,
    fold_warnings=lambda *_: (),
    link="identity",
    text_baselines=("tfidf-svd", "random"),
    text_classifiers=(),
    by_class=False,
    columns={},
    say=lambda *_: [],
)
"""To be given a name, a head, measures, and how predictions are written."""
