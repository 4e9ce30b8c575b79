"""What do the runs say about each claim of the paper?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import pandas as pd

from ..claims.claims import Judged
from ..claims.rule import MARGIN, RULE
from ..labels import MODES, look
from ..numbers.estimates import Estimate
from ..page.table import Number as Printed
from ..page.table import Table, code_in_html, records, scaled
from .official_scores import LABELS


def rule() -> str:
    """The rule of the verdicts, as HTML, which stands above the table and unfolds."""
    parts = "".join(f"<p>{code_in_html(part)}</p>" for part in RULE)
    summary = "The rule of the verdicts, fixed before any result"
    return f'<details class="rule"><summary>{summary}</summary>{parts}</details>'


def table(judged: Sequence[Judged], numbers: pd.DataFrame, launch: str = "python sweeps/launch.py") -> Table:
    """One row a claim and benchmark, with the command that makes its runs; `launch` makes those of the study.

    Those that have been run come first: they are what a reader looks for.
    """
    ordered = sorted(enumerate(judged, 1), key=lambda numbered: not numbered[1].runs)
    rows = [_row(n, each, numbers) | {"command": _command(each, launch)} for n, each in ordered]
    return records("claims", "The paper's claims, by the rule above.", rows)


def _row(n: int, each: Judged, numbers: pd.DataFrame) -> dict[str, str]:
    claim = each.claim
    against = claim.against.get("variant")
    other = f"{look(against).label}, {MODES[claim.against['mode']]}" if against else claim.against["published"]
    paper = f"at least {MARGIN:g}" if claim.kept else "direction; not published"
    if claim.paper is not None:
        paper = f"{claim.paper:+.1f}"
    verdict = each.verdict + (f" ({each.reason})" if each.reason else "")
    d = each.difference
    return {
        "": f"{n}",
        "claim": claim.text,
        "on": f"{LABELS.get(claim.benchmark, claim.benchmark)}, {claim.metric}",
        "compared": f"{look(claim.variant).label}, {MODES[claim.mode]} prompts, with {other}",
        "paper": "; ".join(filter(None, (paper, claim.published, claim.source))),
        "ours": _printed(each.score, 100, signed=False),
        "seeds": str(d.seeds) if d else "\N{EN DASH}",
        "difference": _printed(Estimate(d.value, d.low, d.high, 0), 1, signed=True) if d else "\N{EN DASH}",
        "verdict": verdict,
        "cost": _cost(each, numbers),
        "runs": " ".join(f"`{run.directory.name}`" for run in each.runs),
    }


def _command(each: Judged, launch: str) -> str:
    """Of runs that are there, that of these for all seeds; else that of the variants, or of the paper's grid."""
    if each.runs:
        patterns = dict.fromkeys(re.sub(r"-s\d+$", "-s*", run.name) for run in each.runs if run.purpose != "answers")
        return f"`{launch} --only {shlex.join(patterns)}`"
    return f"`{launch}`" if each.claim.benchmark == "generalised" else "`python sweeps/launch.py sweeps/paper.yaml`"


def _printed(estimate: Estimate | None, factor: float, signed: bool) -> str:
    cell = scaled(estimate, factor, 1, signed)
    return f"{cell.value()} [{cell.interval()}]" if isinstance(cell, Printed) else "\N{EN DASH}"


def _cost(each: Judged, numbers: pd.DataFrame) -> str:
    """Hours of the runs with all that they start from, as the mean over the runs of the claim's variant."""
    names = [run.name for run in each.runs if run.variant == each.claim.variant]
    spent = numbers[(numbers["metric"] == "seconds_in_all") & numbers["run"].isin(names)]["value"]
    return f"{spent.mean() / 3600:.2g} h" if len(spent) else "\N{EN DASH}"
