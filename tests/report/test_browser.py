"""The report in a real browser: it is laid out, its pictures are there, and what a model wrote stays text."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from gemvg_repro.report.page.html import export_html
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import plan

from . import synthetic
from .test_notebook import GRID, ROOT, execute

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-extensions --hide-scrollbars --virtual-time-budget=5000"
).split()
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">\x1b[31m\x00"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("of one page"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; on Debian: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on all variants, one of which answered with hostile text in its gallery."""
    folder = tmp_path_factory.mktemp("a report")
    runs = folder / "runs"
    keys = [job.key for job in plan(Grid.load(GRID), GRID, ROOT, runs) if not job.is_report]
    synthetic.build(runs, keys, samples=60, choices=20)
    for gallery in runs.glob("evaluate-*/gallery/gallery.json"):
        entries = json.loads(gallery.read_text())
        for entry in entries:
            entry["text"] = HOSTILE
        gallery.write_text(json.dumps(entries))
    done = execute(runs, folder / "report.ipynb")
    assert done.returncode == 0, done.stderr[-2000:]
    return export_html(folder / "report.ipynb")


def browse(page: Path, profile: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_what_a_model_wrote_stays_text(page: Path, tmp_path: Path) -> None:
    # A probe that the page does not have: it tells from inside which pictures were decoded, and how wide all is.
    probe = tmp_path / "probed.html"
    script = (
        "<script>addEventListener('load', () => { const page = {"
        "images: [...document.querySelectorAll('figure.report img')].map(i => i.naturalWidth),"
        "broken: [...document.images].filter(i => !i.naturalWidth).length,"
        "title: document.title, wide: document.documentElement.scrollWidth, seen: innerWidth,"
        "scripts: document.querySelectorAll('script').length};"
        "document.body.innerHTML = '<pre id=probe>' + JSON.stringify(page) + '</pre>'; })</script>"
    )
    probe.write_text(page.read_text().replace("</body>", script + "</body>"))
    dom = browse(probe, tmp_path / "profile", "--window-size=1200,900", "--dump-dom")
    probed = json.loads(dom.partition('<pre id="probe">')[2].partition("</pre>")[0])
    assert probed["title"].startswith("GeM-VG reproduced")
    assert probed["scripts"] == 4, "the gallery's data, the gallery's script, the page's, and the probe"
    assert len(probed["images"]) >= 4 and min(probed["images"]) > 100 and probed["broken"] == 0
    assert probed["wide"] <= probed["seen"], "the page scrolls sideways"


EXPLORED = """
<script>addEventListener('load', () => {
  const gallery = document.querySelector('.explorer'), form = gallery.querySelector('form');
  const choose = (name, value) => {
    form.querySelector(`[name=${name}]`).value = value;
    form.dispatchEvent(new Event('input'));
    return Number(gallery.querySelector('.count').textContent.match(/of (\\d+)/)[1]);
  };
  const press = key => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const seen = {all: choose('kind', ''), shown: gallery.querySelectorAll('.card').length};
  gallery.querySelector('.more').click();
  seen.more = gallery.querySelectorAll('.card').length;
  seen.focused = [...gallery.querySelectorAll('.card')].indexOf(document.activeElement);
  press('ArrowLeft');
  seen.moved = [...gallery.querySelectorAll('.card')].indexOf(document.activeElement);
  seen.kind = choose('kind', 'spatial');
  seen.right = choose('outcome', 'right');
  seen.wrong = choose('outcome', 'wrong');
  choose('outcome', ''); choose('kind', '');
  seen.disagree = choose('against', 'sft');
  seen.pairs = [...gallery.querySelectorAll('.card')].every(card =>
    card.querySelectorAll('.right').length === 1 && card.querySelectorAll('.wrong').length === 1);
  choose('against', '');
  seen.nothing = choose('search', 'no such words');
  choose('search', '');
  seen.text = gallery.querySelector('.card .text').textContent;
  seen.boxes = gallery.querySelectorAll('rect.truth').length;
  seen.title = document.title;
  seen.wide = document.documentElement.scrollWidth - innerWidth;
  seen.requests = performance.getEntriesByType('resource').filter(each => !each.name.startsWith('data:')).length;
  document.body.innerHTML = '<pre id=probe></pre>';
  document.getElementById('probe').textContent = JSON.stringify(seen);
})</script></body>
"""


@pytest.mark.parametrize("width", [1440, 390])
def test_predictions_are_explored(page: Path, tmp_path: Path, width: int) -> None:
    """One probe uses the filters as a person does; an answer that is HTML is shown to the letter."""
    probe = tmp_path / "probed.html"
    probe.write_text(page.read_text().replace("</body>", EXPLORED))
    dom = browse(probe, tmp_path / "profile", f"--window-size={width},900", "--dump-dom")
    seen = json.loads(html.unescape(dom.partition('<pre id="probe">')[2].partition("</pre>")[0]))
    assert seen["title"].startswith("GeM-VG reproduced")
    assert seen["text"] == HOSTILE.replace("\x00", "\ufffd") or seen["text"] == HOSTILE
    assert (seen["shown"], seen["more"], seen["focused"], seen["moved"]) == (12, 24, 12, 11)
    assert seen["all"] > seen["kind"] == seen["right"] + seen["wrong"] > 0
    assert 0 < seen["disagree"] < seen["all"] and seen["pairs"] and seen["nothing"] == 0
    assert seen["boxes"] > 0 and seen["wide"] <= 0 and seen["requests"] == 0


def test_the_page_has_something_to_see(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    browse(page, tmp_path / "profile", f"--screenshot={shot}", "--window-size=1200,3000")
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape == (3000, 1200)
    dark = (pixels < 128).mean(axis=1)
    assert (dark > 0).mean() > 0.2, "there are lines of text or figures over the page"
    assert 0.005 < dark.mean() < 0.5


SERIOUS = ("critical", "serious")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(params=[1440, 390])
def view(request: pytest.FixtureRequest, browser: Browser, page: Path) -> Iterator[Page]:
    """The page at a width; neither an error nor a request may have come of its use, and it never scrolls sideways."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, has_touch=True)
    view, errors, requests = context.new_page(), list[str](), list[str]()
    view.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.on("request", lambda each: None if each.url.startswith("data:") else requests.append(each.url))
    view.goto(page.as_uri())
    yield view
    assert view.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert not errors and requests == [page.as_uri()]
    context.close()


def test_by_mouse_keyboard_and_touch(view: Page) -> None:
    opened = view.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < opened < 3000, "milliseconds until the page is loaded"
    section, summary = view.locator("details#the-variants"), view.locator("details#the-variants > summary")
    unfolded = "each => each.open"
    for use in (summary.click, summary.tap, lambda: summary.press("Enter")):
        before = section.evaluate(unfolded)
        use()  # type: ignore[no-untyped-call]
        assert section.evaluate(unfolded) is not before
    section.evaluate("each => { each.open = true }")
    term = section.locator("button.term").first
    for use in (term.click, term.tap, lambda: term.press("Enter")):
        use()
        assert section.locator(".definition:popover-open").count() == 1
        view.keyboard.press("Escape")
        assert section.locator(".definition:popover-open").count() == 0
    view.locator("nav a", has_text="Assumptions").click()
    assert view.locator("details#assumptions").evaluate(unfolded)
    assert view.locator("nav").bounding_box()["y"] <= 0, "the contents stay in sight"  # type: ignore[index]
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert view.locator("details:not([open])").count() == 0


def test_the_gallery_by_mouse_keyboard_and_touch(view: Page) -> None:
    gallery = view.locator("details#predictions-to-explore .explorer")
    cards, more = gallery.locator(".card"), gallery.get_by_role("button", name="Show more")
    kind, outcome, search = (gallery.locator(f"[name={name}]") for name in ("kind", "outcome", "search"))

    def matching() -> int:
        return int(gallery.locator(".count").inner_text().split()[2])

    every = matching()
    kind.click()
    view.keyboard.press("Escape")
    kind.select_option("spatial")
    assert 0 < matching() < every and set(cards.locator(".kind").all_inner_texts()) != set()
    assert all(text.startswith("spatial") for text in cards.locator(".kind").all_inner_texts())
    kind.select_option("")
    more.click()
    assert cards.count() == 24
    more.tap()
    assert cards.count() == 36
    outcome.focus()
    view.keyboard.press("ArrowDown")
    right = matching()
    view.keyboard.press("ArrowDown")
    assert 0 < right < every and right + matching() == every
    view.keyboard.press("Home")
    assert matching() == every
    search.tap()
    view.keyboard.type("EVERY disc")
    queries = cards.locator(".query").all_inner_texts()
    assert 0 < matching() < every and all("disc" in query and "every" in query for query in queries)
    view.keyboard.press("Tab")
    view.keyboard.press("ArrowRight")
    assert cards.nth(1).evaluate("each => each === document.activeElement")
    search.press("Control+a")
    view.keyboard.press("Backspace")
    assert matching() == every


def test_contrast_and_labels(view: Page) -> None:
    """All sections are open: what is folded, axe does not see."""
    view.locator("nav .fold").click()
    broken = Axe().run(view, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [(each["id"], each["nodes"][0]["html"][:200]) for each in broken if each["impact"] in SERIOUS]
    assert not serious
