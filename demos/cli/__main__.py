"""`python -m demos.cli` is `face-studio`."""

import sys

from demos.cli import main

sys.exit(main())
