"""Build the site in build/docs: lay out the pages in build/docs-sources, then run Sphinx."""

import shutil
import sys
from pathlib import Path
from typing import Final

from sphinx.cmd.build import main as sphinx

from docs.site.checking import faults
from docs.site.links import ROOT
from docs.site.sources import write_sources

SOURCES: Final = ROOT / "build" / "docs-sources"
BUILT: Final = ROOT / "build" / "docs"


def main() -> int:
    """Build the site anew; return 0 if nothing is wrong with it, after saying what is."""
    for folder in (SOURCES, BUILT):
        shutil.rmtree(folder, ignore_errors=True)
    write_sources(SOURCES)
    configured = ["--conf-dir", str(Path(__file__).parent)]
    if failed := sphinx(["--fail-on-warning", "--quiet", *configured, str(SOURCES), str(BUILT)]):
        return failed
    found = list(faults(BUILT))
    print(*found or [f"Open {BUILT / 'index.html'}"], sep="\n")
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())
