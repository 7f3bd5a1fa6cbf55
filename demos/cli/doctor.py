"""`face-studio doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import argparse


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "doctor",
        help="show what is installed, what is missing and how to get it",
        description="Show what is installed, what is missing and how to get it.",
        allow_abbrev=False,
    )
    verb.add_argument("--json", action="store_true", help="print it as JSON")
    verb.add_argument("--debug", action="store_true", help="show where an error came from")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    from studio import system

    report = system.report()
    if system.installed("torch"):
        from studio import attention

        report["attention"] = attention.report(probe=True)
    if args.json:
        import json

        print(json.dumps(report, indent=1, default=str))
    else:
        problems = system.problems()
        verdict = [f"to be mended: {problem}" for problem in problems] or [
            "All that is needed without downloads is here."
        ]
        print("\n".join([*lines(report), "", *verdict]))


def lines(report: dict, indent: int = 0) -> list[str]:
    """A nested report as indented `name  value` lines."""
    out, pad = [], "  " * indent
    width = max((len(str(key)) for key in report), default=0)
    for key, value in report.items():
        if isinstance(value, dict):
            out += [f"{pad}{key}", *lines(value, indent + 1)]
        elif isinstance(value, (list, tuple)):
            out += [f"{pad}{key:<{width}}  {', '.join(map(str, value)) or 'none'}"]
        else:
            shown = (
                {True: "yes", False: "no", None: "-"}.get(value, value)
                if isinstance(value, (bool, type(None)))
                else value
            )
            out.append(f"{pad}{key:<{width}}  {shown}")
    return out
