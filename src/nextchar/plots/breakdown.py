"""The breakdown of one document: a row for each prediction, with its probability, rank and the top predictions."""

import math
from collections.abc import Sequence

import numpy as np

from nextchar.evaluation.explain import Step, in_percent, mean_nll, orders_to_show
from nextchar.plots.drawing import BAR, FAINT, FRAME, MUTED, TRACK, Canvas, Picture, blues, cut, ink_on, visible, widest

MARGIN, ROW = 24, 40  # pixels
MOST_STEPS = 100  # rows
ORDERS_WIDTH, NARROWEST, WIDEST = 624, 34, 52  # pixels for the cells of all orders, and for one of them
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
    heading = ORDERS_HEADING if orders else ""
    width = max(predictions + widest([*tops, "top predictions"], 18), MARGIN + widest([mean], 20))
    width = max(width, cells + widest([heading], 16))
    canvas = Canvas(width + MARGIN, 150 + ROW * (len(drawn) + (rest > 0)) + MARGIN // 2)
    canvas.write((MARGIN, 40), cut(visible(document), 100), 34, anchor="lm", width=width - MARGIN, bold=True)
    canvas.write((MARGIN, 82), mean, 20, MUTED, "lm")
    canvas.write((MARGIN, 126), "context → next", 16, MUTED, "lm")
    canvas.write((bar, 126), "probability", 16, MUTED, "lm")
    canvas.write((bar + 650, 126), "log p", 16, MUTED, "rm")
    canvas.write((bar + 730, 126), "rank", 16, MUTED, "rm")
    canvas.write((predictions, 126), "top predictions", 16, MUTED, "lm")
    canvas.write((cells, 98), heading, 16, MUTED, "lm")
    for order in range(1, orders + 1):
        canvas.write((cells + order * cell - cell // 2, 126), str(order), 16, MUTED)
    for i, (step, label, texts) in enumerate(zip(drawn, labels, tops, strict=True)):
        y = 166 + ROW * i
        canvas.write((MARGIN, y), label, 22, anchor="lm")
        _draw_probability(canvas, bar, y, step)
        _draw_orders(canvas, cells, y, cell, step, orders)
        canvas.write((predictions, y), texts, 18, FAINT, "lm")
    if rest:
        canvas.write((MARGIN, 166 + ROW * len(drawn)), f"and {rest:,} more", 18, MUTED, "lm")
    return canvas.picture


def _mean(steps: Sequence[Step]) -> str:
    if not steps:
        return "nothing to predict"
    nats = mean_nll(steps)
    return (
        f"mean negative log-likelihood {nats:.4f} nats = {nats / math.log(2):.4f} bits per character, "
        f"over {len(steps):,} prediction{'s' * (len(steps) > 1)}"
    )


def _draw_probability(canvas: Canvas, left: int, y: int, step: Step) -> None:
    """A bar of 400 pixels for a probability of 1, and its numbers."""
    percent, log_prob = 100 * step.probability, f"{step.log_prob:.3f}".replace("-inf", "-∞")
    canvas.draw.rectangle((left, y - 11, left + 400, y + 11), TRACK)
    canvas.draw.rectangle((left, y - 11, left + round(4 * max(0.0, min(percent, 100.0))), y + 11), BAR)
    probability = f"{percent:.2f} %" if percent >= 0.01 else f"{percent:.1g} %"
    canvas.write((left + 530, y), probability, 20, anchor="rm")
    canvas.write((left + 650, y), log_prob.replace("-", "\N{MINUS SIGN}"), 20, anchor="rm")
    canvas.write((left + 730, y), f"{step.rank:,}", 20, anchor="rm")


def _draw_orders(canvas: Canvas, left: int, y: int, width: int, step: Step, orders: int) -> None:
    """A cell for each order, the darker the higher the probability."""
    for order, probability in enumerate(step.by_order[:orders], 1):
        x = left + (order - 1) * width
        colour = blues(np.sqrt(np.array(min(probability, 1.0))))
        canvas.draw.rectangle((x, y - 18, x + width - 3, y + 18), tuple(colour.tolist()))
        if order == step.order:
            canvas.draw.rectangle((x, y - 18, x + width - 3, y + 18), outline=FRAME, width=3)
        canvas.write((x + width // 2 - 1, y), in_percent(probability), 16, ink_on(colour), width=width - 7)
