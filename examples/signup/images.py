"""Thumbnails."""

import os
from pathlib import Path

from PIL import Image, ImageOps

THUMBNAIL = (96, 96)


def thumbnail(source: Path, target: Path) -> None:
    """Write the middle of a picture, shrunk, as a JPEG.

    The file appears whole or not at all: whoever is killed half way leaves nothing to trip over.
    """
    with Image.open(source) as picture:
        small = ImageOps.fit(picture, THUMBNAIL, Image.Resampling.LANCZOS)
    draft = target.with_suffix(f".{os.getpid()}.draft")
    small.save(draft, "JPEG", quality=85)
    draft.replace(target)
