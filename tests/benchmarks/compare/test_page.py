"""The page in a real browser: no complaint, every number is a record's, a link opens the same view,
all widths, themes, paper and keyboard.

Needs Chromium with its driver: CHROMIUM names the browser, else it is looked for in PATH.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.compare.fairness import compare_configs
from benchmarks.compare.origins import origins_of
from benchmarks.compare.page import Report, write_report
from benchmarks.compare.table import Comparison, build_table
from benchmarks.core.record import Metric, Record, write_all
from benchmarks.evaluate.page import write_evaluation
from benchmarks.report.figures import Sources, draw_figures
from benchmarks.report.pictures.cost import COST
from benchmarks.report.pictures.curves import COLLAPSED, LOSSES
from benchmarks.report.pictures.extremes import EXTREMES
from benchmarks.report.pictures.forest import FOREST
from benchmarks.report.pictures.quality import QUALITY
from benchmarks.report.runs import Run

ARMS = {"untrained": 20.0, "PixPro": 27.5, "Sim+CLR": 26.0, "a_b.c=1e-3": 26.4}
SEEDS, IMAGES = (0, 1, 2), 40
WIDTHS = (360, 820, 1500)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def runs_of(arm: str, level: float) -> list[Run]:
    """Records of every seed, with an accuracy of every image."""
    runs = []
    for seed in SEEDS:
        rng = np.random.default_rng([seed, len(arm)])
        hits = (rng.random(IMAGES) < level / 40).astype(int).tolist()
        metrics = {
            "top1": Metric(100 * float(np.mean(hits)), "%"),
            "RMSE": Metric(3 - level / 20 + rng.normal() / 20, "m", "lower"),
        }
        counts = {"top1": hits}
        record = Record(
            "knn",
            metrics,
            {"data": {"size": 32}},
            counts,
            subject={"spec": arm, "backbone": {}},
            versions=VERSIONS,
        )
        runs.append(Run(record, f"{arm}/seed_{seed}", seed, "knn"))
    return runs


VERSIONS = {"torch": "2.14.1", "device": "cpu"}
RUNS = {arm: runs_of(arm, level) for arm, level in ARMS.items()}
PROTOCOL = {"data": {"size": 32}}
MAJORITY = Run(Record("knn", {"top1": Metric(9.5, "%")}, PROTOCOL), "majority", benchmark="knn")


def comparison() -> Comparison:
    """Four arms, one of them untrained, and a baseline."""
    configs = {arm: {"lr": level, "views": 2} for arm, level in ARMS.items()}
    costs = [dict(arm=arm, samples=100, minutes=2.0) for arm in ARMS if arm != "untrained"]
    return build_table(
        RUNS,
        primary="knn.top1",
        fairness=compare_configs(configs),
        costs=costs,
        baselines={"majority": [MAJORITY]},
        untrained=["untrained"],
        title="Toys & <more>",
    )


def write_page(folder: Path) -> Path:
    """Everything that a page may have but what needs networks."""
    table, curve = comparison(), folder / "curve.csv"
    curve.write_text("samples,loss,watch/cell_rank\n10,3,8\n20,2,7\n30,1.5,7\n")
    evaluations = folder / "evaluations.jsonl"
    for step in (1, 2):
        record = Record("knn", {"top1": Metric(step, "%")}, {}, subject={"spec": f"step {step}"})
        record.append(evaluations)
    sources = Sources(
        arms=list(ARMS),
        curves={"PixPro": [curve, curve]},
        evaluations={"PixPro": [evaluations]},
        recipes={"PixPro": {"schedule": {"global_batch": 10}}},
        rankings=table.rankings,
        runs=RUNS,
        costs=[dict(arm="PixPro", seed=0, minutes=2.0), dict(arm="Sim+CLR", seed=0, minutes=1.0)],
        scored=lambda number: np.full((16, 16, 3), number, np.uint8),
    )
    printed = io.StringIO()
    figures = (FOREST, COST, LOSSES, QUALITY, COLLAPSED, EXTREMES)
    pictures = draw_figures(figures, sources, folder, console=Console(file=printed))
    assert "left out" not in printed.getvalue(), printed.getvalue()
    origins = origins_of(RUNS, {"majority": [MAJORITY]}, "baselines")
    write_all([origin.run.record for origin in origins if origin.group in ARMS], folder / "r.jsonl")
    report = Report(
        table,
        "pixelpretext compare toys.py",
        ["a note"],
        pictures,
        arms=list(ARMS),
        origins=origins,
        costs=sources.costs,
        commands=[("PixPro/seed_0", "pixelpretext train x.py --work-dir x")],
        configs={"PixPro": "lr = 1\n" * 50},
    )
    return write_report(report, folder)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests of this file."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = [path for name in names if name and (path := shutil.which(name))]
    chromedriver = shutil.which("chromedriver")
    if not found or chromedriver is None:
        pytest.skip("no Chromium with chromedriver in PATH: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(chromedriver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


@pytest.fixture
def browser(driver: Any, page: Path) -> Any:
    """The browser with the page as it opens, on a wide screen; afterwards it has no complaint."""
    resize(driver, 1500)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media="", features=[]))
    driver.get("about:blank")
    driver.get(page.as_uri())
    yield driver
    assert driver.get_log("browser") == []


def resize(browser: Any, width: int) -> None:
    metrics = dict(width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def column(browser: Any, name: str, table: str = "results") -> list[str]:
    """Exact values of a column, arms only, from top to bottom."""
    return browser.execute_script(
        """const table = document.querySelector(`table[data-table="${arguments[1]}"]`);
        const heads = Array.from(table.querySelectorAll("thead th"));
        const place = heads.findIndex((head) => head.dataset.column === arguments[0]);
        return Array.from(table.tBodies[0].rows).map((row) => row.cells[place].dataset.value);""",
        name,
        table,
    )


def sort_button(browser: Any, name: str) -> Any:
    """The button in the heading of a column of the results."""
    return browser.find_element(
        "css selector", f'[data-table=results] [data-column="{name}"] button'
    )


def shown_arms(browser: Any) -> list[str]:
    """Arms in the rows of the results that one sees."""
    rows = browser.find_elements("css selector", "[data-table=results] tr[data-arm]")
    return [row.get_attribute("data-arm") for row in rows if row.is_displayed()]


def test_every_number_is_that_of_the_records(browser: Any) -> None:
    for metric in ("top1", "RMSE"):
        name = f"knn.{metric}"
        means = dict(zip(column(browser, "arm"), column(browser, name), strict=True))
        singles = dict(
            zip(column(browser, "trial", "seeds"), column(browser, name, "seeds"), strict=True)
        )
        for arm, runs in RUNS.items():
            values = [run.record.metrics[metric].value for run in runs]
            assert float(means[arm]) == pytest.approx(np.mean(values), rel=1e-12)
            assert [float(singles[run.name]) for run in runs] == values
    cells = browser.find_elements("css selector", "table[data-table] td[data-value]")
    for cell in cells:
        text, value = cell.get_attribute("textContent"), cell.get_attribute("data-value")
        number = re.fullmatch(r"\s*(-?[\d,]+(?:\.\d+)?)(?: ± .*)?\s*", text)
        if number and value:
            assert abs(float(number[1].replace(",", "")) - float(value)) <= 0.051, text


def test_every_pair_is_that_of_the_ranking(browser: Any) -> None:
    ranking = comparison().rankings["knn.top1"]
    table = browser.find_element("css selector", "table.pairs")
    for pair in ranking.pairs:
        for row, other, sign in ((pair.first, pair.second, 1), (pair.second, pair.first, -1)):
            place = f'tr[data-arm="{row}"] td[data-arm="{other}"]'
            cell = table.find_element("css selector", place)
            assert float(cell.get_attribute("data-value")) == sign * pair.difference
            expected = "same" if pair.above is None else "better" if pair.above == row else "worse"
            assert cell.get_attribute("class") == expected


def test_every_number_leads_to_its_record(browser: Any) -> None:
    link = browser.find_element("css selector", "[data-table=seeds] td[data-value] a")
    anchor = link.get_attribute("href").partition("#")[2]
    link.click()
    details = browser.find_element("id", anchor)
    assert details.get_attribute("open") and "at=record-" in browser.current_url
    stored = json.loads(details.find_element("css selector", "pre").text)
    assert stored["benchmark"] == "knn" and stored["counts"] == {"top1": f"{IMAGES} entries"}
    lost = browser.execute_script(
        """return Array.from(document.querySelectorAll("a[href^='#']"))
        .map((link) => link.getAttribute("href").slice(1))
        .filter((anchor) => !document.getElementById(anchor));"""
    )
    assert lost == []
    bare = browser.execute_script(
        """return Array.from(document.querySelectorAll("[data-table=results] td[data-value]"))
        .filter((cell) => cell.dataset.value.includes(".") && !cell.querySelector("a")).length"""
    )
    assert bare == 0


def test_sorting_and_selection_survive_in_the_link(browser: Any) -> None:
    sort_button(browser, "knn.RMSE").click()
    values = [float(value) for value in column(browser, "knn.RMSE")]
    assert values == sorted(values)  # lower is better: the best first
    sort_button(browser, "knn.RMSE").click()
    assert column(browser, "knn.RMSE") == list(map(repr, sorted(values, reverse=True)))
    browser.find_element("css selector", 'input[value="Sim+CLR"]').click()
    browser.find_element("css selector", 'input[value="a_b.c=1e-3"]').click()
    order, link = column(browser, "arm"), browser.current_url
    assert set(shown_arms(browser)) == {"untrained", "PixPro"}
    browser.get("about:blank")
    browser.get(link)
    assert column(browser, "arm") == order and set(shown_arms(browser)) == {"untrained", "PixPro"}
    plotted = browser.execute_script(
        """return Array.from(document.querySelectorAll("svg g[data-arm]"))
        .filter((group) => group.style.display !== "none").map((group) => group.dataset.arm)"""
    )
    assert set(plotted) == {"untrained", "PixPro"}
    browser.find_element("id", "all-arms").click()
    assert len(shown_arms(browser)) == 4
    baselines = browser.find_element("css selector", "tbody.baselines")
    assert "(majority)" in baselines.text  # below all arms, however they are sorted


def test_a_link_to_a_place_opens_it(browser: Any) -> None:
    browser.get(browser.current_url + "#record-PixPro-seed_1-knn")
    assert browser.find_element("id", "record-PixPro-seed_1-knn").get_attribute("open")


def test_tables_are_sorted_by_keyboard(browser: Any) -> None:
    button = sort_button(browser, "arm")
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys("\ue007")  # enter
    assert column(browser, "arm") == sorted(ARMS, key=str.casefold)
    head = button.find_element("xpath", "..")
    assert head.get_attribute("aria-sort") == "ascending"
    button.send_keys(" ")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(browser, "arm") == sorted(ARMS, key=str.casefold, reverse=True)
    box = browser.find_element("css selector", 'input[value="PixPro"]')
    box.send_keys(" ")
    assert "PixPro" not in shown_arms(browser)
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_scrolls_sideways(browser: Any, width: int) -> None:
    resize(browser, width)
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
    )
    inner, outer = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inner <= outer
    for picture in browser.find_elements("css selector", "figure svg, figure img"):
        assert picture.size["width"] > 200 and picture.size["height"] > 60


def luminance(browser: Any, script: str) -> float:
    """Of a colour that a script returns as ``rgb(…)``, 0 to 255."""
    numbers = re.findall(r"\d+", browser.execute_script(script))
    return float(np.mean(list(map(int, numbers[:3]))))


def test_light_dark_and_paper(browser: Any) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    ink = "return getComputedStyle(document.body).color"
    tick = "return getComputedStyle(document.querySelector('figure svg text')).fill"
    for theme, is_dark in (("light", False), ("dark", True)):
        features = [dict(name="prefers-color-scheme", value=theme)]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media="", features=features))
        assert (luminance(browser, paper) < 60) == is_dark
        for words in (ink, tick):
            assert abs(luminance(browser, words) - luminance(browser, paper)) > 150
    features = [dict(name="prefers-color-scheme", value="dark")]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media="print", features=features))
    assert luminance(browser, paper) == 255 and luminance(browser, ink) == 0
    assert not browser.find_element("css selector", "nav").is_displayed()
    assert not browser.find_element("css selector", "fieldset").is_displayed()
    printed = browser.execute_cdp_cmd("Page.printToPDF", dict(printBackground=True))
    assert len(printed["data"]) > 20_000


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text()
    assert "Toys &amp; &lt;more&gt;" in text and "<more>" not in text
    assert not re.search(r"""(?:src|href|url\()=?["'(]?(?:https?:)?//""", text)
    for source in re.findall(r'(?:src|xlink:href)="([^"]*)"', text):
        assert source.startswith(("data:", "#")), source
    identities = re.findall(r'\sid="([^"]*)"', text)
    assert len(identities) == len(set(identities))


def test_pages_of_evaluations_have_the_same_tables(driver: Any, tmp_path: Path) -> None:
    records = [run.record for runs in RUNS.values() for run in runs]
    page = write_evaluation(records, [], "pixelpretext evaluate", tmp_path)
    resize(driver, WIDTHS[0])
    driver.get(page.as_uri())
    table = driver.find_element("css selector", "table[data-table]").get_attribute("data-table")
    button = driver.find_element("css selector", '[data-column="top1"] button')
    button.click()
    values = list(map(float, column(driver, "top1", table)))
    assert values == sorted((r.metrics["top1"].value for r in records), reverse=True)
    link = driver.current_url
    driver.get("about:blank")
    driver.get(link)
    assert list(map(float, column(driver, "top1", table))) == values
    assert driver.get_log("browser") == []
