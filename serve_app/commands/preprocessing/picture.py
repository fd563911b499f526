"""One sheet for the eye: what the network takes the photo for, each way, beside the difference from the card's rule."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from serve_app.commands.preprocessing.answers import change_in_words, in_words
from serve_app.commands.preprocessing.compare import Comparison, Outcome
from serve_app.commands.preprocessing.photo import Pixels
from serve_app.commands.preprocessing.recipe import Tensor
from serve_app.commands.preprocessing.report import explanation

COLUMNS = 3
TILE_WIDTH = 180
LOWEST_TILE, HIGHEST_TILE = 120, 280
TEXT_SIZE = 14
LINE_HEIGHT = 19
MARGIN = 14
BRIGHTEST = 32.0
"""Grey levels of difference that are drawn brightest."""
INK, SOFT_INK = (20, 20, 20), (90, 90, 90)

Lines = tuple[str, str, str, str]


def sheet(comparison: Comparison) -> Image.Image:
    """RGB: a cell for the card's rule and one for each way, three in a row."""
    height, width = comparison.seen.shape[:2]
    tile_height = int(np.clip(TILE_WIDTH * height / width, LOWEST_TILE, HIGHEST_TILE))
    cells = [
        _cell(
            ("The card's rule", "", "", f"answer: {in_words(comparison.answer)}"),
            comparison.seen,
            _scale(tile_height),
            tile_height,
        )
    ]
    cells += [
        _cell(_caption(outcome), outcome.seen, heat_map(outcome.difference.levels), tile_height)
        for outcome in comparison.outcomes
    ]
    rows = -(-len(cells) // COLUMNS)
    size = (COLUMNS * (cells[0].width + MARGIN) + MARGIN, rows * (cells[0].height + MARGIN) + MARGIN)
    picture = Image.new("RGB", size, "white")
    for index, cell in enumerate(cells):
        row, column = divmod(index, COLUMNS)
        picture.paste(cell, (MARGIN + column * (cell.width + MARGIN), MARGIN + row * (cell.height + MARGIN)))
    return picture


def heat_map(levels: Tensor) -> Pixels:
    """The largest channel of each absolute difference [h, w, 3]: black for none, yellow for BRIGHTEST and more."""
    heat = np.rint((levels.max(axis=2) / BRIGHTEST).clip(0, 1) * 255).astype(np.uint8)
    colored: Pixels = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return colored


def _caption(outcome: Outcome) -> Lines:
    difference = outcome.difference
    return (
        outcome.way.name,
        explanation(outcome.causes),
        f"largest {difference.largest:.0f}, mean {difference.mean:.1f} grey levels",
        f"answer: {change_in_words(outcome.change)}",
    )


def _cell(lines: Lines, left: Pixels, right: Pixels, tile_height: int) -> Image.Image:
    cell = Image.new("RGB", (2 * TILE_WIDTH + 4, 4 * LINE_HEIGHT + 4 + tile_height), "white")
    pen = ImageDraw.Draw(cell)
    for row, text in enumerate(lines):
        pen.text((0, row * LINE_HEIGHT), text, fill=SOFT_INK if row else INK, font=_font(text, cell.width))
    for column, tile in enumerate((left, right)):
        cell.paste(_fitted(tile, tile_height), (column * (TILE_WIDTH + 4), 4 * LINE_HEIGHT + 4))
    return cell


def _font(text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The usual type, smaller where the text would be wider than the cell."""
    font = ImageFont.load_default(TEXT_SIZE)
    length = font.getlength(text)
    return font if length <= width else ImageFont.load_default(TEXT_SIZE * width / length)


def _fitted(tile: Pixels, tile_height: int) -> Image.Image:
    image = Image.fromarray(tile)
    scale = min(TILE_WIDTH / image.width, tile_height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def _scale(tile_height: int) -> Pixels:
    """The legend of the heat maps, in the place of one."""
    picture = Image.new("RGB", (TILE_WIDTH, tile_height), "white")
    pen = ImageDraw.Draw(picture)
    ramp = np.repeat(np.linspace(0, BRIGHTEST, TILE_WIDTH, dtype=np.float32)[None, :, None], LINE_HEIGHT, axis=0)
    lines = ("Left: what the network sees.", "Right: how far that is from", "the card's rule, in grey levels,")
    for row, text in enumerate(lines):
        pen.text((0, row * LINE_HEIGHT), text, fill=SOFT_INK, font=_font(text, TILE_WIDTH))
    picture.paste(Image.fromarray(heat_map(ramp)), (0, 3 * LINE_HEIGHT))
    text = f"0 to {BRIGHTEST:.0f} and more."
    pen.text((0, 4 * LINE_HEIGHT), text, fill=SOFT_INK, font=_font(text, TILE_WIDTH))
    return np.array(picture)
