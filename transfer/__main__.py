"""`python -m wf.transfer` is the command `wf-transfer`."""

import sys

from .cli import main

sys.exit(main())
