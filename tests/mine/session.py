"""`pytest --mine`: from the names on the command line to a screen of plain text."""

from pathlib import Path

import pytest
from mine import demo
from mine.hook import replace_modules
from mine.report import judge_exercise, lines_of, overview

from tutorials.stubs import EXERCISES, FOLDER

TESTS = Path(__file__).parent.parent
MOST_FAILURES = 3


def begin(config, names):
    """Judge the exercises, and if they are right let pytest go on with their tests.

    Args:
        config: pytest's
        names: of exercises; without any, all are listed.

    Returns:
        an exit code, or None to go on
    """
    folder = Path(config.getoption("--mine-from") or FOLDER).resolve()
    unknown = [name for name in names if name not in EXERCISES]
    if unknown:
        raise pytest.UsageError(
            f"no exercise {', '.join(unknown)}; there are {', '.join(EXERCISES)} "
            "(name tests before --mine)"
        )
    chosen = [EXERCISES[name] for name in names or EXERCISES]
    judgements = [judge_exercise(exercise, folder) for exercise in chosen]
    if not names:
        print("\n".join(overview(judgements)))
        return 0
    print("\n".join(line for judgement in judgements for line in lines_of(judgement)))
    if any(judgement.state != "done" for judgement in judgements):
        return 1
    return go_on(config, {j.exercise.module: str(j.path) for j in judgements}, names)


def go_on(config, files, names):
    """Try the files inside the real model, then hand over to the tests."""
    expected = demo.results()
    replace_modules(files)
    told = demo.first_difference(demo.results(), expected)
    if told:
        print("\nIn the demo model, WRONG: " + "\n  ".join(told))
        return 1
    print(f"\nThe demo model with your {', '.join(names)}: loss, gradients, a step and search are")
    print(f"right. {demo.ENGLISH[1]} -> {expected['texts'][1]}")
    print("The package's tests of it, with your file in place:\n")
    if config.args_source is not config.ArgsSource.ARGS:
        tests = [TESTS / f"test_{name}.py" for name in names] + [TESTS / "test_references.py"]
        config.args = [str(test) for test in tests]
    config.option.tbstyle = "no"
    config.option.reportchars = ""
    config.option.verbose = -1
    config.pluginmanager.register(FailureLines())
    return None


class FailureLines:
    """Tells of failed tests in a few lines each, instead of a traceback."""

    def __init__(self):
        self.failed = []

    def pytest_runtest_logreport(self, report):
        """Keep what failed."""
        if report.failed:
            self.failed.append(report)

    def pytest_terminal_summary(self, terminalreporter):
        """Print the first few."""
        for report in self.failed[:MOST_FAILURES]:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = crash.message if crash else str(report.longrepr)
            name = report.nodeid.rsplit("::", 1)[-1].removeprefix("test_").replace("_", " ")
            terminalreporter.write_line(f"WRONG  {name}")
            for line in [line for line in message.splitlines() if line.strip()][:4]:
                terminalreporter.write_line(f"       {line[:120]}")
        if len(self.failed) > MOST_FAILURES:
            terminalreporter.write_line(f"and {len(self.failed) - MOST_FAILURES} more tests fail")
