"""The page in a real browser: headless Chromium, without a network."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from analysis.figures.draw import draw_all, draw_differences
from analysis.formats.page.page import compare_page, report_page
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.report.sentences import Sentences, best_runs
from analysis.report.two_studies import compare_studies

from ..conftest import HOSTILE, grid_writer, run_writer

chromium = os.environ.get("LVAE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    chromium is None, reason="no Chromium: apt-get install chromium, or name one in LVAE_CHROMIUM"
)

_FLAGS = (
    "--no-sandbox",  # the tests may run as root, and open only their own files
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS), timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    grid_writer(place)()
    report = compose(collect([open_source(str(place / "study"))]))
    said = [Sentences(best, (HOSTILE,), ((HOSTILE, HOSTILE),)) for best in best_runs(report.cells, "ptb")]
    page = report_page(
        report, draw_all(report.cells, ["ptb"], {}, {}, advance=None, units={}), said, "python …", refresh=0
    )
    (place / "report.html").write_text(page, encoding="utf-8")
    return place / "report.html"


class Opened:
    """An open page, with its errors, messages and requests."""

    def __init__(self, browser: Browser, path: Path, **options) -> None:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.problems: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.problems.append(f"request: {request.url}"))
        self.page.set_default_timeout(120_000)
        self.page.goto(path.as_uri())
        # The only request is for the file itself; the icon is a data: URL.
        assert self.problems.pop(0) == f"request: {path.as_uri()}"


def column(page: Page, name: int) -> list[str]:
    """The texts of a column of the first table, without hidden rows."""
    rows = first_table(page).locator("tbody tr:visible")
    return [text.strip() for text in rows.locator(f"td:nth-child({name + 1})").all_inner_texts()]


def first_table(page: Page) -> Locator:
    return page.locator("table.numbers").first


def sort_button(page: Page, name: int) -> Locator:
    """The heading of a column of the first table, by which it is sorted."""
    return first_table(page).locator("thead tr").last.locator("button").nth(name)


def test_it_opens_without_errors_or_requests_in_light_and_dark(browser: Browser, path: Path) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        opened = Opened(browser, path, color_scheme=scheme)
        grounds[scheme] = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert opened.page.screenshot(full_page=True).startswith(b"\x89PNG")
        assert opened.problems == []
    assert grounds == {"light": "rgb(254, 254, 254)", "dark": "rgb(22, 22, 24)"}


def test_clicking_a_heading_sorts_then_reverses_then_restores_the_order(
    browser: Browser, path: Path
) -> None:
    opened = Opened(browser, path)
    page = opened.page
    nll = sort_button(page, 1)
    before = column(page, 1)

    def numbers() -> list[float]:
        return [float(text.partition("±")[0]) for text in column(page, 1) if text.strip("–")]

    nll.click()
    up = numbers()
    assert up == sorted(up)
    assert len(up) >= 10  # the paper's rows and ours, without their differences
    nll.click()
    assert numbers() == up[::-1]
    assert first_table(page).locator("th[aria-sort=descending]").count() == 1
    # A row that has left its section shows the section's name.
    assert "Kruengkrai 2019" in first_table(page).locator("tbody tr:visible").first.inner_text()
    nll.click()
    assert column(page, 1) == before
    assert opened.problems == []


def test_sorting_ranks_no_numbers_over_different_text(browser: Browser, tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    sizes = {"sentences": 3761, "tokens": 82430, "unknown": 0.1}
    for limit, vocabulary, nll in ((0, 9000, 90.0), (100, 100, 30.0)):
        splits = dict.fromkeys(("train", "valid", "test"), sizes)
        for L in (1, 5, 10):
            write(
                "lstm-vae",
                L,
                dataset="toy",
                max_vocabulary=limit,
                estimates={"nll_elbo": nll - (L - 4) ** 2, "ppl_elbo": 9.0},
                result={"vocabulary": vocabulary, "splits": splits},
            )
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    path = tmp_path / "report.html"
    path.write_text(
        report_page(report, draw_all([], [], {}, {}, advance=None, units={}), [], "python …", refresh=0),
        encoding="utf-8",
    )
    page = Opened(browser, path).page
    nll_button = sort_button(page, 1)
    nll_button.click()
    # By hand: 90 - 36, 90 - 9, 90 - 1 and 60 less.
    assert [float(text) for text in column(page, 1)] == [54.0, 81.0, 89.0, -6.0, 21.0, 29.0]
    nll_button.click()
    assert [float(text) for text in column(page, 1)] == [89.0, 81.0, 54.0, 29.0, 21.0, -6.0]


def test_rows_without_a_number_stay_last_in_both_directions(browser: Browser, path: Path) -> None:
    page = Opened(browser, path).page
    kl = sort_button(page, 2)
    for _ in range(2):
        kl.click()
        found = column(page, 2)
        assert "" in found
        assert found[0]
        assert not any(found[found.index("") :])


def test_pointing_focusing_and_tapping_show_the_tip(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path)
    page = opened.page
    tip = page.locator("#tip")
    assert tip.is_hidden()
    number = page.locator("tr.ours td .tip").filter(has_not_text="–").first
    number.hover()
    text = tip.inner_text()
    assert text.startswith("n = 3, mean ")
    assert "95% t interval [" in text
    assert text.count("ptb__lstm-lm__standard__L0__seed") == 3
    box, window = tip.bounding_box(), page.viewport_size
    assert box
    assert window
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= window["width"]
    page.mouse.move(5, 5)
    assert tip.is_hidden()
    number.focus()
    assert tip.is_visible()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    phone = Opened(browser, path, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    phone.page.locator("tr.ours td .tip").filter(has_not_text="–").first.tap()
    assert phone.page.locator("#tip").inner_text() == text
    assert opened.problems == phone.problems == []


def test_a_table_is_one_tab_stop_and_arrow_keys_move_between_its_numbers(
    browser: Browser, path: Path
) -> None:
    page = Opened(browser, path).page
    for table in page.locator("table.numbers").all():
        assert table.locator(".tip").count() == 0 or table.locator(".tip[tabindex='0']").count() == 1
    rows = first_table(page).locator("tbody tr:visible").filter(has=page.locator(".tip"))
    place = "e => [e.closest('td').cellIndex, e.closest('tr').rowIndex]"

    def focused() -> list[int]:
        return page.locator(":focus").evaluate(place)

    first_table(page).locator(".tip[tabindex='0']").focus()
    start = focused()
    assert page.locator("#tip").is_visible()
    page.keyboard.press("ArrowRight")
    right = focused()
    assert right[1] == start[1]
    assert right[0] > start[0]
    page.keyboard.press("ArrowDown")
    assert focused()[0] == right[0]
    assert focused()[1] > right[1]
    page.keyboard.press("Home")
    assert focused()[0] < right[0]
    # The number that was left is where Tab comes back to.
    left = focused()
    page.keyboard.press("Tab")
    assert page.locator(":focus").evaluate("e => !e.matches('table.numbers:first-of-type .tip')")
    page.keyboard.press("Shift+Tab")
    assert focused() == left
    for _ in range(rows.count()):
        page.keyboard.press("ArrowUp")
    first = focused()
    page.keyboard.press("ArrowUp")
    assert focused() == first
    # Sorting hides rows: the stop is among those that are left.
    sort_button(page, 1).click()
    assert first_table(page).locator(".tip[tabindex='0']:visible").count() == 1


def test_figures_that_scroll_are_reached_by_keyboard_and_named_by_their_title(
    browser: Browser, path: Path
) -> None:
    areas = "all => all.map(e => [e.scrollWidth > e.clientWidth + 1, e.tabIndex, e.role, e.ariaLabel])"
    phone = Opened(browser, path, viewport={"width": 360, "height": 740}, is_mobile=True).page
    found = phone.locator("figure .wide").evaluate_all(areas)
    assert any(scrolls for scrolls, *_ in found)
    for scrolls, tab_index, role, label in found:
        assert (tab_index == 0) == scrolls
        assert role == "group"
        assert label.startswith("PTB")
    images = phone.locator("figure svg[role=img]").evaluate_all("all => all.map(e => e.ariaLabel)")
    assert len(set(images)) == len(images) == len(found)
    assert all(image.startswith(f"{label}. ") for image, (*_, label) in zip(images, found, strict=True))


@pytest.mark.parametrize("width", [1280, 1920])
def test_numbers_and_labels_stay_on_one_line_of_a_wide_screen(
    browser: Browser, path: Path, width: int
) -> None:
    page = Opened(browser, path, viewport={"width": width, "height": 900}).page
    lines = """all => all.map((one) => {
      const range = document.createRange();
      range.selectNodeContents(one);
      if (one.tagName === "TH") range.setStartAfter(one.querySelector(".context"));
      return new Set([...range.getClientRects()].map((box) => box.bottom)).size;
    })"""
    sort_button(page, 1).click()
    for parts in ("td .tip:visible", "tbody tr:not(.heading) th:visible"):
        counts = page.locator(f"table.numbers {parts}").evaluate_all(lines)
        assert counts
        assert max(counts) == 1


def test_a_phone_scrolls_tables_and_figures_and_not_the_page(browser: Browser, path: Path) -> None:
    page = Opened(browser, path, viewport={"width": 360, "height": 740}, is_mobile=True).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert (
        page.evaluate("Math.max(...[...document.querySelectorAll('.wide')].map(e => e.scrollWidth))") > 360
    )


@pytest.mark.parametrize(("width", "is_beside"), [(1280, True), (800, False)])
def test_a_caption_stands_beside_its_figure_if_there_is_room(
    browser: Browser, path: Path, width: int, is_beside: bool
) -> None:
    page = Opened(browser, path, viewport={"width": width, "height": 900}).page
    ends = page.locator("figure").evaluate_all(
        "all => all.map(e => [e.querySelector('svg').getBoundingClientRect().right, "
        "e.querySelector('figcaption').getBoundingClientRect().left])"
    )
    assert ends
    assert all((figure < caption) == is_beside for figure, caption in ends)


def test_what_scrolls_sideways_says_so_until_its_end(browser: Browser, path: Path) -> None:
    page = Opened(browser, path, viewport={"width": 360, "height": 740}, is_mobile=True).page
    said = "getComputedStyle(e, '::before').content"
    hints = f"e => [e.scrollWidth > e.clientWidth, e.matches('.sideways'), {said}]"
    for part in page.locator(".wide").all():
        scrolls, hinted, text = part.evaluate(hints)
        assert hinted == scrolls
        assert ("scroll sideways" in text) == scrolls
    wide = page.locator(".wide.more").first
    assert wide.evaluate("e => getComputedStyle(e).boxShadow") != "none"
    handle = wide.element_handle()
    assert handle
    handle.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    page.wait_for_function("e => !e.classList.contains('more')", arg=handle)
    menu = page.locator("nav")
    arrow = "e => getComputedStyle(e, '::after').content"
    assert "→" in menu.evaluate(arrow)
    menu.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    page.wait_for_function("() => !document.querySelector('nav').classList.contains('more')")
    assert "→" not in menu.evaluate(arrow)
    broad = Opened(browser, path, viewport={"width": 1600, "height": 900}).page
    assert broad.locator("#comparisons .sideways, nav.more").count() == 0


def test_on_a_phone_the_verdict_comes_first(browser: Browser, path: Path) -> None:
    def heads(width: int) -> list[str]:
        page = Opened(browser, path, viewport={"width": width, "height": 740}).page
        table = page.locator("#comparisons table.numbers").last
        names = table.locator("thead th").all_inner_texts()
        rows = table.locator("tbody tr.ours")
        assert rows.first.locator("td").count() == len(names) - 1
        # The column moves with its cells: words stand where the verdict's heading is.
        place = [name.strip() for name in names].index("verdict")
        assert any(
            word in rows.first.locator("td").nth(place - 1).inner_text()
            for word in ("few", "signif", "und", "er")
        )
        return [name.strip() for name in names]

    assert heads(1200)[-1] == "verdict"
    assert heads(360)[1] == "verdict"


def test_in_print_it_is_light_and_nothing_is_cut_off(browser: Browser, path: Path) -> None:
    page = Opened(browser, path, color_scheme="dark").page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 without its margins
    ends = "all => all.map(each => each.getBoundingClientRect().right)"
    assert max(page.locator("table, svg").evaluate_all(ends)) <= 690
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_in_print_each_page_of_a_table_has_its_columns_names(browser: Browser, path: Path) -> None:
    page = Opened(browser, path).page
    page.emulate_media(media="print")
    # Chromium repeats the head of a table on each page, but leaves buttons out.
    buttons = page.locator("table.numbers thead button")
    displays = buttons.evaluate_all("all => all.map((one) => getComputedStyle(one).display)")
    assert set(displays) == {"contents"}
    assert first_table(page).locator("thead tr").last.locator("th").nth(1).inner_text() == "NLL"
    assert not page.locator(".by-name").first.is_visible()


def test_in_print_notes_are_smaller_than_the_text(browser: Browser, path: Path) -> None:
    page = Opened(browser, path).page
    page.emulate_media(media="print")
    sizes = "e => parseFloat(getComputedStyle(e).fontSize)"
    text = page.locator("main").evaluate(sizes)
    assert text == pytest.approx(10 * 4 / 3, abs=0.01)
    for part in (".notes", "figcaption", "footer"):
        assert page.locator(part).first.evaluate(sizes) < text


def test_in_print_hyperparameters_are_in_landscape_and_words_stay_whole(
    browser: Browser, tmp_path: Path
) -> None:
    write = run_writer(tmp_path)
    for system, more in (
        ("lstm-lm", {"deterministic": True}),
        ("lstm-vae", {"precision": "float32"}),
        ("lstm-vmf-vae", {"posterior": "von_mises_fisher", "vmf_kappa": 85.0}),
    ):
        write(system, **more)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    page = report_page(report, draw_all([], [], {}, {}, advance=None, units={}), [], "python …", refresh=0)
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    opened = Opened(browser, path, viewport={"width": 1000, "height": 700}).page
    pdf = opened.pdf(prefer_css_page_size=True)
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([\d. ]+)\]", pdf)}
    assert {(width > height) for _, _, width, height in boxes} == {True, False}
    opened.emulate_media(media="print")
    breaks = "all => all.map((one) => getComputedStyle(one).overflowWrap)"
    assert set(opened.locator("#hyperparameters td.words").evaluate_all(breaks)) == {"normal"}
    lines = """all => all.map((one) => {
      const range = document.createRange();
      range.selectNodeContents(one);
      return new Set([...range.getClientRects()].map((box) => box.bottom)).size;
    })"""
    for word in ("float32", "deterministic", "gaussian"):
        cells = opened.locator("#hyperparameters tbody :is(th, td)").filter(has_text=word)
        assert set(cells.evaluate_all(lines)) == {1}, word
    assert set(opened.locator(".facts td:last-child").evaluate_all(lines)) <= {0, 1}


def test_two_studies_open_as_well(
    browser: Browser, tmp_path: Path, small_grid: Callable[..., None]
) -> None:
    small_grid("a")
    small_grid("b", 0.5, learning_rate=0.5)
    compared = compare_studies(*(collect([open_source(str(tmp_path / name))]) for name in "ab"))
    page = compare_page(
        compared, draw_differences(compared.comparisons, advance=None), "python …", refresh=0
    )
    (tmp_path / "compare.html").write_text(page, encoding="utf-8")
    opened = Opened(browser, tmp_path / "compare.html")
    first_table(opened.page).locator("thead button").nth(3).click()
    differences = [float(text) for text in column(opened.page, 3)]
    assert differences == sorted(differences)
    assert {0.0, 0.5} == set(differences)
    opened.page.locator("td .tip").first.hover()
    assert "n = 3" in opened.page.locator("#tip").inner_text()
    assert opened.problems == []


def test_a_page_that_reloads_keeps_what_its_reader_has_sorted_and_closed(
    browser: Browser, path: Path
) -> None:
    opened = Opened(browser, path)
    page = opened.page
    nll = sort_button(page, 1)
    nll.click()
    nll.click()
    page.locator("summary").nth(0).click()  # opens the sentences that a page begins with
    page.locator("summary").nth(1).click()  # closes sentences of a run

    def state() -> tuple[list[str], list[bool], int]:
        closed = page.locator("details").evaluate_all("all => all.map((one) => !one.open)")
        return column(page, 1), closed, first_table(page).locator("th[aria-sort=descending]").count()

    before = state()
    assert before[1:] == ([k == 1 for k in range(len(before[1]))], 1)
    page.reload()
    assert state() == before
    nll.click()
    for k in (0, 1):
        page.locator("summary").nth(k).click()
    unsorted = state()
    assert unsorted[0] != before[0]
    page.reload()
    assert state() == unsorted
    assert unsorted[1] == [k == 0 for k in range(len(unsorted[1]))], "as when it was first shown"
    assert opened.problems == [f"request: {path.as_uri()}"] * 2


def test_a_page_works_without_storage(browser: Browser, path: Path) -> None:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    denied = "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('denied'); } })"
    page.add_init_script(denied)
    page.goto(path.as_uri())
    page.locator("table.numbers thead button").first.click()
    assert page.locator("th[aria-sort=ascending]").count() == 1
    assert problems == []


def test_wide_tables_do_not_shrink_the_printed_page(browser: Browser, tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    dataset = "a-very-long-name-of-a-dataset-" * 4 + "x"
    estimates = {"nll_elbo": (99.25, 0.02), "ppl_elbo": 90.0, "kl": (2.0, 0.01), "nll_iw": 98.5}
    for k, setting in enumerate(("standard", "inputless")):
        for seed in range(3):
            write("lstm-lm", setting=setting, seed=seed, dataset=dataset)
            for size in (4, 8):
                more = {"latent_size": size, "hidden_size": 10 * size, "dropout": size / 100}
                joint = estimates | {"nll_joint": 107.25 + k, "nll_iw_joint": 105.0}
                for system, numbers in (("lstm-vae", estimates), ("lstm-vae-avg", joint)):
                    write(system, 5, setting, seed, dataset=dataset, estimates=numbers, **more)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    path = tmp_path / "report.html"
    path.write_text(
        report_page(report, draw_all([], [], {}, {}, advance=None, units={}), [], "python …", refresh=0),
        encoding="utf-8",
    )
    # A4 less the margins of 14 mm, in CSS pixels: wider content makes Chromium print everything smaller.
    width = round((210 - 2 * 14) / 25.4 * 96)
    page = Opened(browser, path, viewport={"width": width, "height": 900}).page
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Words break where they can; numbers stay whole.
    lines = "all => all.map((one) => new Set([...one.getClientRects()].map((part) => part.top)).size)"
    counts = first_table(page).locator("td .tip").evaluate_all(lines)
    assert counts
    assert max(counts) <= 2, "a number breaks before its ± only"
