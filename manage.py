#!/usr/bin/env python
"""Django's command line for BackFuture."""

import os
import sys

from backfuture import process


def main() -> None:
    # `keys` has private keys in its memory, and `inspect_keys` API keys.
    process.hide_memory()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backfuture.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
