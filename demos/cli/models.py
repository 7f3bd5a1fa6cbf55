"""`face-studio models`: published models: list, get, check, convert."""

from __future__ import annotations

import argparse

EPILOG = """\
face-studio models list
face-studio models get instantid
face-studio models verify smirk
face-studio models verify deca ~/Downloads/deca_model.tar
face-studio models convert FLAME2020/generic_model.pkl -o flame.safetensors

Only `get` downloads, from the Hugging Face hub where the authors put a model there, and says where to go for the
others. Nothing in a file is ever run. Files are looked for in the models' folder
(FACE_STUDIO_MODELS, or ~/.face-studio/models) and in the Hugging Face cache. A converted file takes the original's
place; its licence stays what it was."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    form = argparse.RawDescriptionHelpFormatter
    verb = verbs.add_parser(
        "models",
        help="show, get, check and convert published models",
        description="Show, get, check and convert published models.",
        epilog=EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    acts = verb.add_subparsers(dest="act", metavar="list|get|verify|convert", required=True)
    show = acts.add_parser("list", help="which models can be used, which are here, under which terms")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    show.set_defaults(run=run_list)
    fetch = acts.add_parser("get", help="download a model that its authors give on the Hugging Face hub")
    fetch.add_argument("name", metavar="NAME", help="of the model, as `models list` shows it")
    fetch.add_argument("--optional", action="store_true", help="also the files that it can do without")
    fetch.add_argument("--progress", choices=("auto", "bar", "json", "off"), default="auto", help="how it is shown")
    fetch.set_defaults(run=run_get, quiet=False)
    check = acts.add_parser("verify", help="open a model's files safely, and load them strictly")
    check.add_argument("name", metavar="NAME", help="of the model, as `models list` shows it")
    check.add_argument("path", nargs="?", metavar="FILE", help="its file or folder, where it is not in the usual place")
    check.set_defaults(run=run_verify)
    change = acts.add_parser("convert", help="write a checkpoint or FLAME as .safetensors")
    change.add_argument("source", metavar="FILE", help="a checkpoint (.pt .tar .ckpt .pkl .npz ...), or FLAME's folder")
    change.add_argument("-o", "--output", required=True, metavar="OUT", help="the converted file: .safetensors")
    change.set_defaults(run=run_convert)
    for act in (show, fetch, check, change):
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
    from demos.cli.options import reporter
    from studio.weights import get, model

    known = model(args.name)
    print(f"{known.title}: {known.licence}")
    for path in get(known, optional=args.optional, progress=reporter(args)):
        print(path)
    run_verify(argparse.Namespace(name=args.name, path=None))


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
