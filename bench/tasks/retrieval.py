"""Every text is a query among the others of its rows: are those that are found of its class?

The corpus are the training rows in a search, the test rows in a confirmation. Relevant are the other texts of a query's
class; the query itself is left out, and so are texts of its group, such as the other parts of a document. A text whose
class nothing else has can find nothing and counts 0.
"""

from dataclasses import replace

from bench.metrics import judged
from bench.specs import Cosine
from bench.tasks.classification import CLASSIFICATION
from bench.tasks.face import TASKS

NAME = "retrieval"

TASKS.add(
    NAME,
    replace(
        CLASSIFICATION,
        name=NAME,
        ranks=True,
        fold_warnings=lambda *_: (),
        link="identity",
        head=Cosine(),
        text_baselines=("tfidf-svd", "random"),
        text_classifiers=(),
        measures=("ndcg_10", "precision_10"),
        by_class=False,
        judged=judged,
        predicted=lambda found: found[:, :-1].tolist(),
        columns={},
        say=lambda *_: [],
    ),
)
