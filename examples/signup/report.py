"""The report: sign-ups by country as a table and a chart, and what the queues have done."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace

from examples.signup.database import CountryRow
from qcore import State

INK = (40, 44, 52)
BAR = (66, 111, 168)
PALE = (235, 239, 245)
WHITE = (255, 255, 255)
HEADINGS = FontFace(emphasis="BOLD", color=INK, fill_color=PALE)


def write_report(
    target: Path, rows: Sequence[CountryRow], counts: Mapping[str, Mapping[State, int]]
) -> None:
    """Write a PDF. `counts` is the number of tasks by queue and state.

    The file appears whole or not at all.
    """
    pdf = FPDF()
    pdf.set_title("Sign-ups")
    pdf.set_text_color(*INK)
    pdf.set_draw_color(*PALE)
    pdf.add_page()
    _heading(pdf, "Sign-ups", 24)
    total = sum(row.users for row in rows)
    _text(pdf, f"{total} people from {len(rows)} countries.")
    _countries(pdf, rows)
    _heading(pdf, "By country", 14)
    _chart(pdf, rows)
    _heading(pdf, "The queues, as this page was written", 14)
    _queues(pdf, counts)
    draft = target.with_suffix(".draft")
    pdf.output(str(draft))
    draft.replace(target)


def _heading(pdf: FPDF, text: str, size: int) -> None:
    pdf.ln(4)
    pdf.set_font("Helvetica", style="B", size=size)
    pdf.cell(text=text, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)


def _text(pdf: FPDF, text: str) -> None:
    pdf.set_font("Helvetica", size=10)
    pdf.cell(text=text, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)


def _countries(pdf: FPDF, rows: Sequence[CountryRow]) -> None:
    body = [[row.country, row.users, row.reached, row.unreachable] for row in rows]
    _table(pdf, ("Country", "Sign-ups", "Mail arrived", "No such mailbox"), body)


def _queues(pdf: FPDF, counts: Mapping[str, Mapping[State, int]]) -> None:
    states = sorted({state for row in counts.values() for state in row})
    body = [[name, *(row.get(state, 0) for state in states)] for name, row in counts.items()]
    _table(pdf, ("Queue", *states), body)


def _table(pdf: FPDF, headings: Sequence[str], body: Sequence[Sequence[object]]) -> None:
    pdf.set_font("Helvetica", size=10)
    with (
        pdf.local_context(fill_color=WHITE),
        pdf.table(
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=HEADINGS,
            text_align=("LEFT", *("RIGHT",) * (len(headings) - 1)),
        ) as table,
    ):
        for cells in (headings, *body):
            table.row([str(cell) for cell in cells])


def _chart(pdf: FPDF, rows: Sequence[CountryRow]) -> None:
    """Draw a bar for each country, the longest across the page."""
    most = max((row.users for row in rows), default=1)
    label, height = 28.0, 4.5
    pdf.set_font("Helvetica", size=9)
    pdf.set_fill_color(*BAR)
    for row in rows:
        length = (pdf.epw - label - 12) * row.users / most
        top = pdf.get_y()
        pdf.cell(label, height, row.country)
        pdf.rect(pdf.l_margin + label, top + 0.6, length, height - 1.2, style="F")
        pdf.set_x(pdf.l_margin + label + length + 1)
        pdf.cell(12, height, str(row.users), new_x="LMARGIN", new_y="NEXT")
