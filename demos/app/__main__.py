"""`python -m demos.app` is `face-studio app`."""

import sys

from demos.cli import main

sys.exit(main(["app", *sys.argv[1:]]))
