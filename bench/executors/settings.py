"""Who works, as people say it."""

from typing import Annotated

from pydantic import Field

from bench.specs import Hint, Spec


class Workers(Spec):
    """How many processes work at the same time, and who starts them."""

    workers: Annotated[
        int,
        Field(
            ge=1,
            description="Processes that work at the same time: on the candidates of a wave, under ray on texts too.",
        ),
    ] = 1
    executor: Annotated[
        str | None,
        Field(description="Who has them work."),
        Hint(unset="inline for one worker, processes for more", names="executors"),
    ] = None
    ray_address: Annotated[
        str | None,
        Field(description="Of the Ray cluster, HOST:PORT or auto."),
        Hint(value="ADDRESS", unset="one that is started on this machine and ends with the command"),
    ] = None
