import pytest

from gemvg_repro.report.page.escaping import escaped_html, escaped_latex, plain


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("one\n\n  two\ttwo", "one two two"),
        ("\u202egnp.exe", "gnp.exe"),
        ("z\u0315\u0327a\u0300lgo", "zalgo"),
        ("\ud800lone surrogate", "lone surrogate"),
        ("日本 ок", "日本 ок"),
    ],
)
def test_plain(hostile: str, harmless: str) -> None:
    assert plain(hostile) == harmless


def test_long_text_keeps_both_ends() -> None:
    short = plain("begin " + "x" * 5000 + " end", 60)
    assert len(short) == 60 and short.startswith("begin ") and short.endswith(" end")
    assert len(plain("y" * 10_000_000, 100)) == 100
    assert plain("just right", 10) == "just right"


def test_html() -> None:
    assert escaped_html('<script>alert("1")</script>&') == "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"


def test_latex() -> None:
    assert escaped_latex(r"\input{x} 5% $y_1$ #~^&") == (
        r"\textbackslash{}input\{x\} 5\% \$y\_1\$ \#\textasciitilde{}\textasciicircum{}\&"
    )
