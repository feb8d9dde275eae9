"""The people who sign up: users.csv, and a portrait drawn for each."""

import csv
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont, ImageOps

from examples.signup.service import Form

USERS = Path(__file__).parents[1] / "users.csv"
SIZE = (480, 360)


def visitors(limit: int, seed: int) -> list[Form]:
    """Return the forms that the first people of users.csv fill in."""
    with USERS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:limit]
    dice = Random(seed)
    return [Form(**row, picture=portrait(row["name"], dice)) for row in rows]


def portrait(name: str, dice: Random) -> bytes:
    """Return a JPEG as somebody might upload it: initials before a gradient."""
    hue = dice.randrange(360)
    picture = ImageOps.colorize(_glow(), _colour(hue, 65), _colour(hue + 40, 30))
    initials = "".join(word[0] for word in name.split())
    centre = (SIZE[0] / 2, SIZE[1] / 2)
    font = ImageFont.load_default(size=140)
    ImageDraw.Draw(picture).text(centre, initials, fill="white", font=font, anchor="mm")
    file = BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


@cache
def _glow() -> Image.Image:
    return Image.radial_gradient("L").resize(SIZE)


def _colour(hue: int, lightness: int) -> str:
    return f"hsl({hue % 360}, 60%, {lightness}%)"
