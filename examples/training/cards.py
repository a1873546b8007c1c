"""The card beside each adapter: what it was made from, how well it does, what it is poor at."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from examples.training.fitting import SEED

ADAPTERS = Path(__file__).parents[1] / "adapters"


@dataclass(frozen=True)
class Card:
    """A card's content; numbers are measured on the held-out rows.

    Args:
        task: the adapter's folder and the name of the script that made it.
        rows: rows trained on, rows held out.
        metric: what was measured, in words.
        value, baseline: the metric of the adapter and of an answer that ignores the input.
        further: more measured sentences.
    """

    task: str
    summary: str
    method: str
    data: str
    licence: str
    rows: tuple[int, int]
    metric: str
    value: float
    baseline: float
    poor_at: str
    baseline_name: str = "The same, commonest answer"
    further: str = ""

    def write(self) -> None:
        """Write `README.md` into the adapter's folder and show the result."""
        folder = ADAPTERS / self.task
        num_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".md")
        libraries = ", ".join(f"{n} {version(n)}" for n in ("adapters", "peft", "transformers"))
        further = f"{self.further}\n\n" if self.further else ""
        module = self.task.replace("-", "_")
        folder.joinpath("README.md").write_text(
            f"# {self.task}\n\n{self.summary}\n\n"
            "| | |\n|---|---|\n"
            "| Backbone | sentence-transformers/all-MiniLM-L6-v2 |\n"
            f"| Method and head | {self.method} ({num_bytes / 1e6:.2f} MB) |\n"
            f"| Data | {self.data} |\n"
            f"| Licence of the data | {self.licence} |\n"
            f"| Rows | {self.rows[0]:,} trained, {self.rows[1]:,} held out |\n"
            f"| {self.metric}, held out | **{self.value:.3f}** |\n"
            f"| {self.baseline_name} | {self.baseline:.3f} |\n"
            f"| Command | `python -m examples.training.{module}`, seed {SEED} |\n"
            f"| Made with | {libraries}, torch {version('torch').split('+')[0]} |\n\n"
            f"{further}**Poor at.** {self.poor_at}\n"
        )
        print(f"{self.task}: {self.metric} {self.value:.3f}, baseline {self.baseline:.3f}")
