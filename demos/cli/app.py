"""`face-studio app`: the studio in a browser."""

from __future__ import annotations

import argparse

EPILOG = """\
face-studio app
face-studio app --port 8000 --mcp
FACE_STUDIO_AUTH=me:a-long-password face-studio app --host 0.0.0.0

It listens on this computer alone. --host and --share let others in and need --auth."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "app",
        help="open the studio in a browser",
        description="Open the studio in a browser.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this computer alone)")
    verb.add_argument("--port", type=int, metavar="N", help="port to listen at (default: the first free one from 7860)")
    verb.add_argument("--share", action="store_true", help="also make a public link through Gradio's servers")
    verb.add_argument("--auth", metavar="USER:PASSWORD", help="who may come in (or set FACE_STUDIO_AUTH)")
    verb.add_argument("--mcp", action="store_true", help="also serve its functions to language models (MCP)")
    verb.add_argument("--open", action="store_true", help="open the browser")
    limits = verb.add_argument_group("limits")
    limits.add_argument("--max-mb", type=int, metavar="N", help="of one upload (default 200)")
    limits.add_argument("--max-seconds", type=float, metavar="N", help="of a video or a sound (default 120)")
    limits.add_argument("--max-megapixels", type=float, metavar="N", help="of a picture (default 40)")
    verb.add_argument("--debug", action="store_true", help="show where an error came from")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    from demos.app import Limits, Settings, serve
    from demos.app.settings import read_auth
    from studio.errors import UsageError

    if args.port is not None and not 1 <= args.port <= 65535:
        raise UsageError(f"--port {args.port}: ports go from 1 to 65535")
    wanted = dict(megabytes=args.max_mb, seconds=args.max_seconds, megapixels=args.max_megapixels)
    given = {name: value for name, value in wanted.items() if value is not None}
    for name, value in given.items():
        if not value > 0:
            raise UsageError(f"a limit of {value:g} {name}: give more than 0")
    settings = Settings(args.host, args.port, args.share, read_auth(args.auth), args.mcp, args.open, Limits(**given))
    try:
        serve(settings)
    except KeyboardInterrupt:  # the usual end
        print()
