"""The report's tables in a paper: Debian's TeX sets every one of them."""

import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.claims.claims import judge
from gemvg_repro.report.numbers.collect import Collection
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.page.table import Table, records
from gemvg_repro.report.sections import claims, paper_tables, provenance

from ..sections.test_tables import ALL

PAPER = r"""\documentclass{article}
\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{lmodern,booktabs}
\extrafloats{100}
\begin{document}
%s
\end{document}
"""


def hostile() -> Table:
    text = r"`a_b` \input{x} $ % & # ^ ~ < > | – − … é 图 🙂 { } ↑"  # noqa: RUF001
    return records("hostile", text, [{"a": text, "b": text}])


@pytest.mark.slow
def test_every_table_is_set_by_tex(measured: pd.DataFrame, collection: Collection, tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        assert not os.environ.get("TEX_REQUIRED"), "no pdflatex; Debian: apt-get install texlive-latex-recommended"
        pytest.skip("no pdflatex; Debian: apt-get install texlive-latex-recommended lmodern")
    paper = (paper_tables.mig_bench, paper_tables.mc_bench, paper_tables.odinw, paper_tables.general)
    tables = [make(measured) for make in ALL] + [make(measured, collection) for make in paper]
    tables += [*paper_tables.ablations(measured), claims.table(judge(collection, Draws(50)), measured)]
    tables += [provenance.complete(collection), provenance.environment(collection), provenance.ledger(), hostile()]
    names = [table.save(tmp_path).name for table in tables if len(table.frame)]
    assert len(names) > 20
    inputs = "\n".join(rf"\input{{tables/{name}}}\clearpage" for name in names)
    (tmp_path / "paper.tex").write_text(PAPER % inputs)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")
