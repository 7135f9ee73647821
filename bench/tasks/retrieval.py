"""Every text is a query among the others of its rows: are those that are found of its class?

The corpus are the training rows in a search, the test rows in a confirmation. Relevant are the other texts of a query's
class; the query itself is left out, and so are texts of its group, such as the other parts of a document. A text whose
class nothing else has can find nothing and counts 0.
"""

from dataclasses import replace

from bench.metrics import judged
from bench.specs import Cosine
from bench.tasks.face import TASKS
from bench.tasks.ranking import RANKING

NAME = "retrieval"

TASKS.add(
    NAME,
    replace(
        RANKING,
        name=NAME,
        head=Cosine(),
        measures=("ndcg_10", "precision_10"),
        judged=judged,
        predicted=lambda found: found[:, :-1].tolist(),
    ),
)
