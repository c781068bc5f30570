"""minibert2bert gradcheck: check every gradient against finite differences."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Describe the command gradcheck."""
    parser = commands.add_parser(
        "gradcheck", help="check every gradient against finite differences"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all numbers (default: 0)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check every component and the whole model, and print a line for each tensor."""
    from minibert2bert.inspection.component_cases import component_cases
    from minibert2bert.inspection.gradient_check import gradient_checks

    checked = failed = 0
    print(f"{'component':<30} {'tensor':<72} {'relative error':>14}  verdict")
    for case in component_cases(options.seed):
        for check in gradient_checks(case.function, *case.arguments, seed=options.seed):
            verdict = "ok" if check.passed else "WRONG"
            error = f"{check.relative_error:.1e}"
            print(f"{case.name:<30} {check.tensor:<72} {error:>14}  {verdict}")
            checked += 1
            failed += not check.passed
    print(f"{checked} gradients checked, {failed} wrong")
    return 1 if failed else 0
