"""What to do with a study, as it is said on the terminal, the page, MLflow's run and in JSON."""

import shlex
from dataclasses import dataclass
from typing import Any

from bench.escaping import plain_markdown


@dataclass(frozen=True)
class Sentence:
    """A sentence or two, and in a word or two what they are about."""

    about: str
    words: str


@dataclass(frozen=True)
class Decision:
    """What to ship and why.

    Attributes:
        ship: The name of what is recommended, as `Study.choose` takes it.
        lines: In the order in which they are to be read.
        next: Commands as they are to be typed, each as its words, the first one first.
    """

    ship: str
    lines: tuple[Sentence, ...]
    next: tuple[tuple[str, ...], ...]

    @property
    def commands(self) -> list[str]:
        """The commands as a shell takes them."""
        return [shlex.join(command) for command in self.next]

    def __str__(self) -> str:
        """A sentence a line."""
        return "\n".join(f"{line.about}: {line.words}" for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "ship": self.ship,
            "lines": [{"about": line.about, "words": line.words} for line in self.lines],
            "next": self.commands,
        }

    def markdown(self) -> str:
        """For a place that shows Markdown."""
        said = "\n".join(f"- **{line.about}**: {plain_markdown(line.words)}" for line in self.lines)
        commands = "\n".join(f"    {command}" for command in self.commands)
        return f"{said}\n\nNext:\n\n{commands}\n" if commands else f"{said}\n"
