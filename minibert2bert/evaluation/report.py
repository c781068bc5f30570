"""What an evaluation found: a table to read, and a line of JSON that says how to repeat it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minibert2bert.evaluation.metrics import Score

DIGITS = 4


@dataclass(frozen=True)
class EvaluationReport:
    """What a model scores, beside what copying its sources would score.

    Attributes:
        loss: nats for each target token of the first references
        scores: of the model's answers, by metric
        copy_scores: of the sources taken for answers, by metric
        recipe: what the numbers depend on, as JSON can hold it
        answers: one a source, in their order
    """

    loss: float
    scores: Mapping[str, Score]
    copy_scores: Mapping[str, Score]
    recipe: Mapping[str, Any]
    answers: tuple[str, ...]

    def to_json(self, **named: Any) -> str:
        """Write numbers and recipe, but not the answers, on one line.

        Args:
            named: what else the recipe should tell, such as model="a name"
        """
        scores = {
            name: {
                "model": round(score.value, DIGITS),
                "copy": round(self.copy_scores[name].value, DIGITS),
                "signature": score.signature,
            }
            for name, score in self.scores.items()
        }
        found = {"loss": round(self.loss, DIGITS), "scores": scores}
        return json.dumps({**found, "recipe": {**named, **self.recipe}}, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [f"{'metric':<8} {'model':>7} {'copy':>7}"]
        for name, score in self.scores.items():
            lines.append(f"{name:<8} {score.value:>7.2f} {self.copy_scores[name].value:>7.2f}")
        lines.append(f"{'loss':<8} {self.loss:>7.3f}         nats a target")
        return "\n".join(lines)
