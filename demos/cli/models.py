"""`face-studio models`: published models: which are here, whether they are sound, and as .safetensors."""

from __future__ import annotations

import argparse

EPILOG = """\
face-studio models list
face-studio models get liveportrait
face-studio models verify smirk
face-studio models verify deca ~/Downloads/deca_model.tar
face-studio models convert FLAME2020/generic_model.pkl -o flame.safetensors

Only `get` downloads, from the Hugging Face hub, what a model's authors give there, and goes on where it broke off.
Nothing in a file is ever run. Files are looked for in the models' folder (FACE_STUDIO_MODELS, or
~/.face-studio/models) and in the Hugging Face cache. A converted file takes the original's place; its licence stays
what it was."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    form = argparse.RawDescriptionHelpFormatter
    verb = verbs.add_parser(
        "models",
        help="show, fetch, check and convert published models",
        description="Show, fetch, check and convert published models.",
        epilog=EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    acts = verb.add_subparsers(dest="act", metavar="list|get|verify|convert", required=True)
    show = acts.add_parser("list", help="which models can be used, which are here, under which terms")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    show.set_defaults(run=run_list)
    get = acts.add_parser("get", help="download a model's files that are missing, and verify them")
    get.add_argument("name", metavar="NAME", help="of the model, as `models list` shows it")
    get.add_argument("--quiet", action="store_true", help="print nothing but errors")
    get.set_defaults(run=run_get)
    check = acts.add_parser("verify", help="open a model's files safely, and load them strictly")
    check.add_argument("name", metavar="NAME", help="of the model, as `models list` shows it")
    check.add_argument("path", nargs="?", metavar="FILE", help="its file or folder, where it is not in the usual place")
    check.set_defaults(run=run_verify)
    change = acts.add_parser("convert", help="write a checkpoint or FLAME as .safetensors")
    change.add_argument("source", metavar="FILE", help="a checkpoint (.pt .tar .ckpt .pkl .npz ...), or FLAME's folder")
    change.add_argument("-o", "--output", required=True, metavar="OUT", help="the converted file: .safetensors")
    change.set_defaults(run=run_convert)
    for act in (show, get, check, change):
        act.add_argument("--debug", action="store_true", help="show where an error came from")


def run_list(args: argparse.Namespace) -> None:
    """Print the models."""
    from pipelines.models import listed

    found = listed()
    if args.json:
        import json

        told = [
            {
                "name": entry.model.name,
                "title": entry.model.title,
                "authors": entry.model.authors,
                "licence": entry.model.licence,
                "commercial": entry.model.commercial,
                "page": entry.model.page,
                "here": entry.complete,
                "files": {name: path and str(path) for name, path in entry.files.items()},
            }
            for entry in found
        ]
        print(json.dumps(told, indent=1))
        return
    for entry in found:
        use = "" if entry.model.commercial else " (not for commercial use)"
        print(f"{entry.model.name:<12} {'here' if entry.complete else 'missing':<8} {entry.model.title}{use}")
        print(f"{'':<21} {entry.model.licence}")
        for name, path in entry.files.items():
            print(f"{'':<21} {name}: {path or f'not here; {entry.model.page}'}")


def run_get(args: argparse.Namespace) -> None:
    """Download a model."""
    import sys

    from studio.weights import model
    from studio.weights.download import download

    known, shown = model(args.name), sys.stderr.isatty() and not args.quiet

    def tell(name: str, count: int, size: int | None) -> None:
        whole = "" if size is None else f" of {size / 1e6:.0f}"
        print(f"\r{name}: {count / 1e6:.0f}{whole} MB ", end="", file=sys.stderr, flush=True)

    if not args.quiet:
        print(f"{known.title}: {known.licence}", flush=True)
    paths = download(known, progress=tell if shown else None)
    if shown:
        print(file=sys.stderr)
    if not args.quiet:
        for path in paths:
            print(path)


def run_verify(args: argparse.Namespace) -> None:
    """Check a model's files."""
    from pipelines.models import verify

    for file in verify(args.name, args.path):
        hashed = {True: "as published", False: "another", None: "none is published to compare"}[file.as_published]
        loads = "loads" if file.loads else "opens"
        print(f"{file.path}: {loads}; sha256 {file.sha256} ({hashed})")


def run_convert(args: argparse.Namespace) -> None:
    """Convert a model."""
    from pipelines.models import convert_model

    print(convert_model(args.source, args.output))
