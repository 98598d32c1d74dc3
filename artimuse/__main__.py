"""`python -m artimuse`."""

import sys

from artimuse.cli import main

sys.exit(main())
