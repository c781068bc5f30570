"""Judge whole exercises, and say it in a few plain lines."""

import importlib
from dataclasses import dataclass

from mine.cases import cases
from mine.check import CompareError, Verdict, judge, load

MOST_LINES = 4
"""Wrong arrays that are told of; the rest is a number."""


@dataclass(frozen=True)
class Judgement:
    """What became of an exercise.

    Attributes:
        exercise: from tutorials.stubs
        path: the learner's file
        verdicts: one for each function
        trouble: why the file could not even be loaded
    """

    exercise: object
    path: object
    verdicts: tuple[Verdict, ...] = ()
    trouble: str = ""

    @property
    def state(self):
        """One of done, wrong, begun, not begun."""
        states = [verdict.state for verdict in self.verdicts]
        if self.trouble or "wrong" in states:
            return "wrong"
        if set(states) == {"right"}:
            return "done"
        return "begun" if "right" in states else "not begun"


def judge_exercise(exercise, folder):
    """Try a learner's file on all cases, with the rest of the package as it is."""
    path = folder / f"{exercise.name}.py"
    if not path.exists():
        return Judgement(exercise, path, trouble="no such file; make it: python -m tutorials.stubs")
    reference = importlib.import_module(exercise.module)
    try:
        mine = load(path, exercise.name)
    except CompareError as trouble:
        return Judgement(exercise, path, trouble=str(trouble))
    tried = cases(exercise.name)
    verdicts = tuple(
        judge(path, mine, reference, name, [case for case in tried if case.function == name])
        for name in exercise.functions
    )
    return Judgement(exercise, path, verdicts)


def lines_of(judgement):
    """Tell about one exercise: a line a function, and all of the first that is wrong."""
    name = judgement.exercise.name
    if judgement.trouble:
        return [f"{name}: {judgement.trouble}"]
    unwritten = [v for v in judgement.verdicts if v.state == "unwritten"]
    if judgement.state == "not begun":
        return [f"{name}: {unwritten[0].findings[0].lines[0]}"]
    lines = [f"{name}: {judgement.state}"]
    if len(judgement.verdicts) > 1:
        width = max(len(verdict.function) for verdict in judgement.verdicts)
        for verdict in judgement.verdicts:
            state = {"unwritten": "not written yet"}.get(verdict.state, verdict.state)
            lines.append(f"  {verdict.function:{width}}  {state}")
    wrong = [verdict for verdict in judgement.verdicts if verdict.state == "wrong"]
    return lines + (details(wrong[0]) if wrong else [])


def details(verdict):
    """What is right and what is wrong in one function."""
    lines = ["", f"{verdict.function}" + (f", tried on {verdict.told}:" if verdict.told else ":")]
    wrong = [finding for finding in verdict.findings if finding.lines]
    for finding in verdict.findings:
        if not finding.lines:
            lines.append(f"  right  {finding.name}")
        elif finding in wrong[:MOST_LINES]:
            lines.append(f"  WRONG  {finding.name or verdict.function} {finding.lines[0]}")
            lines += [f"         {line}" for line in finding.lines[1:]]
    if len(wrong) > MOST_LINES:
        lines.append(f"  and {len(wrong) - MOST_LINES} more that are wrong")
    return lines


def overview(judgements):
    """List what is done and what is left."""
    width = max(len(judgement.exercise.name) for judgement in judgements)
    lines = []
    for judgement in judgements:
        tutorial = f"tutorials/{judgement.exercise.tutorial}.py"
        lines.append(f"  {judgement.exercise.name:{width}}  {judgement.state:9}  {tutorial}")
    done = sum(judgement.state == "done" for judgement in judgements)
    left = [j.exercise.name for j in judgements if j.state != "done"]
    lines += ["", f"{done} of {len(judgements)} exercises are done."]
    if left:
        lines.append(f"Next: tutorials/exercises/{left[0]}.py, then pytest --mine {left[0]}")
    return lines
