"""Writes the generated pages; `--check` says which are stale and exits with 1 if one is."""

from __future__ import annotations

import argparse
import sys

from docs.generators.pages import stale, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.generators", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    is_check = parser.parse_args().check
    changed = stale() if is_check else write()
    for name in changed:
        print(f"docs/{name} {'is stale: run python -m docs.generators' if is_check else 'written'}")
    return int(is_check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
