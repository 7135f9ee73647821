"""Texts are put into as many groups as there are classes: do these groups hold the classes?

The rows that are asked about are grouped anew under each seed, the training rows in a search and the test rows in a
confirmation. Of the labels a representation knows nothing but how many different ones the training rows have.
"""

from dataclasses import replace

from bench.specs import KMeans
from bench.tasks.face import TASKS
from bench.tasks.ranking import RANKING

NAME = "clustering"

TASKS.add(
    NAME,
    replace(
        RANKING,
        name=NAME,
        head=KMeans(),
        measures=("v_measure", "adjusted_rand"),
        predicted=lambda groups: groups.tolist(),
    ),
)
