"""Entry point of ``python -m mindscience_diffuser``."""

import sys

from mindscience_diffuser.cli import main

sys.exit(main())
