"""The report in a real browser: Debian's Chromium, without a window. Skips loudly where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from report_fixtures import HOSTILE, basic_report, singles_report, singles_runs  # noqa: F401 - fixtures

from poke_bc.report import Report

Page = tuple[Path, Report]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("REPORT NOT TESTED IN A BROWSER: no Chromium here (apt-get install chromium, or CHROMIUM=PATH)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="REPORT NOT TESTED IN A BROWSER: no playwright")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page that is ready, and everything it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, *, fragment: str = "", width: int = 1280, dark: bool = False) -> None:
        context = browser.new_context(viewport={"width": width, "height": 844},
                                      color_scheme="dark" if dark else "light")
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)

    def count(self, selector: str) -> int:
        found: int = self.page.locator(selector).count()
        return found

    @property
    def address(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.page.evaluate("location.hash").lstrip("#")).items()}

    def wait_for_decision(self, number: int) -> None:
        self.page.wait_for_function("n => document.querySelector('.place').textContent.startsWith(`Decision ${n} of`)",
                                    arg=number)


@pytest.fixture
def opened(browser: Any, singles_report: Page) -> Iterator[Opened]:  # noqa: F811
    page = Opened(browser, singles_report[0])
    yield page
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    page.page.context.close()


SECTIONS = ("summary", "battles", "learning", "accuracy", "slices", "calibration", "confusion", "heads", "data",
            "fields", "settings")


def test_every_section_is_there_and_every_chart_is_drawn(opened: Opened, singles_report: Page) -> None:  # noqa: F811
    assert opened.page.evaluate("[...document.querySelectorAll('section')].map(each => each.id)") == list(SECTIONS)
    assert opened.count("#summary .run") == 2
    assert opened.count("#battle option") == singles_report[1].battles
    assert opened.count(".moments li") > 3
    assert opened.count(".chart") == opened.count(".chart .main-svg:first-child") >= 9


def test_a_decision_shows_the_board_and_ten_actions(opened: Opened) -> None:
    assert opened.count(".side") == 2
    assert opened.count(".action") == 10
    assert opened.count(".action:not(.illegal) .prob") == 2 * opened.count(".action:not(.illegal)")
    assert opened.count(".action.illegal .prob") == 0
    assert opened.count(".action.taken") <= 1
    assert opened.count(".side.opp .unknown") > 0, "what the player could not know is shown as hidden"


def test_arrow_keys_and_slider_step_and_the_address_follows(opened: Opened) -> None:
    page = opened.page
    opened.wait_for_decision(1)
    for number in (2, 3):
        page.keyboard.press("ArrowRight")
        opened.wait_for_decision(number)
        assert opened.address["decision"] == str(number)
    page.keyboard.press("ArrowLeft")
    opened.wait_for_decision(2)
    page.locator("#decision").focus()
    page.keyboard.press("End")
    last = int(page.locator("#decision").get_attribute("max"))
    opened.wait_for_decision(last)
    assert opened.address["decision"] == str(last)
    page.keyboard.press("Home")
    opened.wait_for_decision(1)


def test_back_and_forward_return_to_moments(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("ArrowRight")
    opened.wait_for_decision(2)
    page.keyboard.press("ArrowRight")
    opened.wait_for_decision(3)
    page.go_back()
    opened.wait_for_decision(2)
    page.go_forward()
    opened.wait_for_decision(3)


def test_an_address_opens_at_its_moment(browser: Any, opened: Opened, singles_report: Page) -> None:  # noqa: F811
    link = opened.page.locator(".moments a").nth(2)
    link.click()
    wanted = {name: values[0] for name, values in parse_qs(link.get_attribute("href").lstrip("#")).items()}
    opened.wait_for_decision(int(wanted["decision"]))
    assert opened.address == wanted
    choices = opened.page.locator(".choices").inner_text()
    again = Opened(browser, singles_report[0], fragment=link.get_attribute("href"))
    again.wait_for_decision(int(wanted["decision"]))
    assert again.address == wanted
    assert again.page.locator(".choices").inner_text() == choices
    again.page.context.close()


def test_the_other_players_view_can_be_seen(opened: Opened) -> None:
    before = opened.address["player"]
    opened.page.locator("#battles .tabs button").nth(1).click()
    opened.page.wait_for_function("player => !location.hash.includes(`player=${player}&`)", arg=before)
    assert opened.count("#battles .tabs button[aria-pressed=true]") == 1


def test_names_are_text_and_do_nothing(opened: Opened) -> None:
    assert opened.page.evaluate("window.attacked") is None
    assert opened.count("img") == 0
    assert opened.page.locator(".side.own .player").inner_text().startswith(("p1 " + HOSTILE, "p2 " + HOSTILE))


def test_the_theme_changes(opened: Opened) -> None:
    page = opened.page
    shade = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(shade)
    page.locator("button.theme").click()
    assert page.evaluate(shade) == light
    page.locator("button.theme").click()
    assert page.evaluate(shade) != light


def test_slices_change_with_their_tab(opened: Opened) -> None:
    tabs = opened.page.locator("#slices [role=tab]")
    assert tabs.count() >= 4
    tabs.nth(0).click()
    assert tabs.nth(0).get_attribute("aria-selected") == "true"
    assert opened.count("#slices .chart .main-svg") > 0


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, singles_report: Page, dark: bool) -> None:  # noqa: F811
    opened = Opened(browser, singles_report[0], width=390, dark=dark)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.complaints == []
    opened.page.context.close()


def test_a_schema_without_pokemon_shows_its_fields(browser: Any, basic_report: Page) -> None:  # noqa: F811
    opened = Opened(browser, basic_report[0])
    assert opened.count(".side") == 0
    assert opened.count(".action") == 10
    assert opened.count("table.raw tbody tr") > 10
    opened.page.keyboard.press("ArrowRight")
    opened.wait_for_decision(2)
    assert opened.complaints == []
    opened.page.context.close()
