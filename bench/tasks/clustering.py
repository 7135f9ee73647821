"""Texts are put into as many groups as there are classes: do these groups hold the classes?

The rows that are asked about are grouped anew under each seed, the training rows in a search and the test rows in a
confirmation. Of the labels a representation knows nothing but how many different ones the training rows have.
"""

from dataclasses import replace

from bench.specs import KMeans
from bench.tasks.classification import CLASSIFICATION
from bench.tasks.face import TASKS

NAME = "clustering"

TASKS.add(
    NAME,
    replace(
        CLASSIFICATION,
        name=NAME,
        ranks=True,
        fold_warnings=lambda *_: (),
        link="identity",
        head=KMeans(),
        text_baselines=("tfidf-svd", "random"),
        text_classifiers=(),
        measures=("v_measure", "adjusted_rand"),
        by_class=False,
        predicted=lambda groups: groups.tolist(),
        columns={},
        say=lambda *_: [],
    ),
)
