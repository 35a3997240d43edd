"""The breakdown of one document: a row for each prediction, with its probability, rank and the top predictions."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from nextchar.evaluation.explain import Step, in_percent, mean_nll, orders_to_show
from nextchar.plots.drawing import (
    BAR,
    FAINT,
    FRAME,
    INK,
    MUTED,
    TRACK,
    WHITE,
    Pen,
    Picture,
    Style,
    blues,
    cut,
    ink_on,
    visible,
    widest,
    write,
)

MARGIN, ROW = 24, 40  # pixels
MOST_STEPS = 100  # rows
ORDERS_WIDTH, NARROWEST, WIDEST = 624, 34, 52  # pixels for the cells of all orders, and for one of them
HEADING, NUMBER = Style(16, MUTED), Style(20, INK)
ORDERS_HEADING = "probability (%) under each order alone; framed: longest n-gram seen in training"


def breakdown(document: str, steps: Sequence[Step]) -> Picture:
    """Draws the steps of a document; those of an n-gram model with the probability under each order alone.

    At most MOST_STEPS rows are drawn; the mean is over all steps.
    """
    drawn, rest, orders = steps[:MOST_STEPS], max(0, len(steps) - MOST_STEPS), orders_to_show(steps)
    labels = [f"{cut(visible(step.context), -12)} → {cut(visible(step.char), 10)}".lstrip() for step in drawn]
    top = 3 if orders else 6
    tops = ["    ".join(f"{visible(char)} {100 * p:.1f} %" for char, p in step.best[:top]) for step in drawn]
    mean = _mean(steps)
    # The left edges of the columns, from left to right; numbers are right-aligned between the bar and the orders.
    bar = 2 * MARGIN + max(150, widest(labels, 22))
    cells = bar + 780
    cell = min(max(ORDERS_WIDTH // max(orders, 1), NARROWEST), WIDEST)
    predictions = cells + orders * cell + 40 * (orders > 0)
    width = max(
        predictions + widest([*tops, "top predictions"], 18),
        MARGIN + widest([mean], 20),
        cells + widest([ORDERS_HEADING], 16) * (orders > 0),
    )
    height = 150 + ROW * (len(drawn) + (rest > 0)) + MARGIN // 2
    page = Image.new("RGB", (width + MARGIN, height), WHITE)
    draw = ImageDraw.Draw(page)
    write(draw, (MARGIN, 40), cut(visible(document), 100), Style(34, INK, bold=True), "lm", width - MARGIN)
    write(draw, (MARGIN, 82), mean, Style(20, MUTED), "lm")
    for x, text, anchor in (
        (MARGIN, "context → next", "lm"),
        (bar, "probability", "lm"),
        (bar + 650, "log p", "rm"),
        (bar + 730, "rank", "rm"),
        (predictions, "top predictions", "lm"),
    ):
        write(draw, (x, 126), text, HEADING, anchor)
    if orders:
        write(draw, (cells, 98), ORDERS_HEADING, HEADING, "lm")
    for order in range(1, orders + 1):
        write(draw, (cells + order * cell - cell // 2, 126), str(order), HEADING)
    for i, (step, label, texts) in enumerate(zip(drawn, labels, tops, strict=True)):
        y = 166 + ROW * i
        write(draw, (MARGIN, y), label, Style(22, INK), "lm")
        _draw_probability(draw, bar, y, step)
        _draw_orders(draw, (cells, y), cell, step, orders)
        write(draw, (predictions, y), texts, Style(18, FAINT), "lm")
    if rest:
        write(draw, (MARGIN, 166 + ROW * len(drawn)), f"and {rest:,} more", Style(18, MUTED), "lm")
    return np.array(page)


def _mean(steps: Sequence[Step]) -> str:
    if not steps:
        return "nothing to predict"
    nats = mean_nll(steps)
    return (
        f"mean negative log-likelihood {nats:.4f} nats = {nats / math.log(2):.4f} bits per character, "
        f"over {len(steps):,} prediction{'s' * (len(steps) > 1)}"
    )


def _draw_probability(draw: Pen, left: int, y: int, step: Step) -> None:
    """A bar of 400 pixels for a probability of 1, and its numbers."""
    percent, log_prob = 100 * step.probability, f"{step.log_prob:.3f}".replace("-inf", "-∞")
    draw.rectangle((left, y - 11, left + 400, y + 11), TRACK)
    draw.rectangle((left, y - 11, left + round(4 * max(0.0, min(percent, 100.0))), y + 11), BAR)
    probability = f"{percent:.2f} %" if percent >= 0.01 else f"{percent:.1g} %"
    write(draw, (left + 530, y), probability, NUMBER, "rm")
    write(draw, (left + 650, y), log_prob.replace("-", "\N{MINUS SIGN}"), NUMBER, "rm")
    write(draw, (left + 730, y), f"{step.rank:,}", NUMBER, "rm")


def _draw_orders(draw: Pen, at: tuple[int, int], width: int, step: Step, orders: int) -> None:
    """A cell for each order, the darker the higher the probability. at: left edge and middle of the first cell."""
    x, y = at
    for order, probability in enumerate(step.by_order[:orders], 1):
        colour = blues(np.sqrt(np.array(min(probability, 1.0))))
        draw.rectangle((x, y - 18, x + width - 3, y + 18), tuple(colour.tolist()))
        if order == step.order:
            draw.rectangle((x, y - 18, x + width - 3, y + 18), outline=FRAME, width=3)
        write(draw, (x + width // 2 - 1, y), in_percent(probability), Style(16, ink_on(colour)), width=width - 7)
        x += width
