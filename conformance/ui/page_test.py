#!/usr/bin/env python3
"""The page in a real Chromium: `page_test.py http://127.0.0.1:8500 [--pictures DIR]`.

Needs the demo's application behind the address (`meshglass demo`, or the example `preview` of crates/ui). Prints one
line a check and `N passed, N failed`; the exit code is 1 when one failed. A missing browser is a failure when CI=true,
else a loud skip.
"""

import argparse
import os
import sys
import time
import traceback

from webdriver import Browser, WebDriverError, find

SERVICES = ["emojify-ingress", "emojify-website", "emojify-api", "emojify-facebox", "emojify-cache"]
EDGE = "emojify-api→emojify-cache"
FAULT = ("emojify-cache#1", "60%")
SEES_FAULT_SECONDS = 15
# The shortest window of the page is 30 s; after that nothing of the fault is left in it.
SEES_RECOVERY_SECONDS = 45
SIZE_LIMIT = 200 * 1024

# A reload would lose this.
MARK = "window.__opened = window.__opened || Math.random(); return window.__opened"
PILL = 'const pill = document.querySelector(`[data-edge="${arguments[0]}"]`);'
EDGE_STATE = (
    PILL + "return pill && {state: pill.dataset.state, share: Number(pill.dataset.errorShare), "
    "rate: Number(pill.dataset.rate), words: pill.textContent}"
)
EDGE_IS = PILL + "return pill && arguments[1].includes(pill.dataset.state) && pill.textContent"
EVERY_SERVICE = """return arguments[0].every((name) => {
  const card = document.querySelector(`.card[data-service="${name}"]`);
  return card && Number(card.dataset.rate) > 0 && card.getBoundingClientRect().width > 20;
})"""
SIDEWAYS = "return document.documentElement.scrollWidth - innerWidth"
GROUND = "return getComputedStyle(document.body).backgroundColor"
FOCUS = "const e = document.activeElement; return e.dataset.service || e.dataset.edge || e.id"
OUTLINED = """const style = getComputedStyle(document.activeElement);
return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0"""
RATES = """const cells = [...document.querySelectorAll("#table tbody tr td:nth-child(4)")];
return cells.map((cell) => parseFloat(cell.textContent))"""
SHEET = """const box = document.getElementById("panel").getBoundingClientRect();
return box.top > 100 && box.bottom <= innerHeight + 1"""
LIVE = "return document.getElementById('live').dataset.state === 'live'"


class Page:
    def __init__(self, browser, base, pictures):
        self.browser, self.base, self.pictures = browser, base.rstrip("/"), pictures

    def picture(self, name):
        if self.pictures:
            self.browser.picture(os.path.join(self.pictures, f"{name}.png"))

    def ready(self, hash_=""):
        """Opens the page afresh and waits until the graph is there."""
        self.browser.open("about:blank")
        self.browser.open(f"{self.base}/ui/{hash_}")
        self.browser.until("the services of the demo with traffic", EVERY_SERVICE, SERVICES, seconds=40)
        self.browser.until("live", LIVE)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def test_shows_who_calls_whom(page):
    page.ready("#window=30")
    for edge in [
        "emojify-ingress→emojify-website",
        "emojify-ingress→emojify-api",
        "emojify-api→emojify-facebox",
        EDGE,
    ]:
        now = page.browser.run(EDGE_STATE, edge)
        check(now and now["rate"] > 0, f"{edge} carries traffic: {now}")
    page.browser.until("a healthy edge at first", EDGE_IS, EDGE, ["ok"], seconds=SEES_RECOVERY_SECONDS)
    page.picture("graph-light")


def test_is_fed_by_events(page):
    way = "return document.getElementById('live').dataset.way === 'events'"
    page.browser.until("server-sent events, not polling", way, seconds=10)


def test_polls_while_events_do_not_come(page):
    browser = page.browser
    # A proxy in the way that does not let streams through looks like this to a page.
    broken = "window.EventSource = class extends EventTarget { static CLOSED = 2; readyState = 2; close() {} }"
    script = browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=broken)["identifier"]
    try:
        page.ready()
        fresh = "const total = Number(document.querySelector(`[data-edge=\"${arguments[0]}\"]`).dataset.requests); "
        first = browser.run(fresh + "return total", EDGE)
        browser.until("newer figures", fresh + "return total > arguments[1]", EDGE, first, seconds=10)
        check(browser.run("return document.getElementById('live').dataset.way") == "poll", "it polls")
        check(browser.run(LIVE), "and says that it is live")
    finally:
        browser.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    page.ready("#window=30")


def test_details_of_a_call(page):
    browser = page.browser
    browser.click(f'[data-edge="{EDGE}"]')
    browser.until("the details", "return !document.getElementById('panel').hidden")
    text = browser.run("return document.getElementById('panel').textContent")
    for word in [
        "gRPC methods",
        "Get",
        "Put",
        "Exists",
        "emojify.Cache",
        "gRPC statuses",
        "OK",
        "Instance to instance",
    ]:
        check(word in text, f"{word!r} is in the details of {EDGE}: {text[:400]}")
    pairs = browser.run("return document.querySelectorAll('[data-pair]').length")
    check(pairs >= 2, f"the pairs of instances are shown: {pairs}")
    check(browser.run("return document.querySelectorAll('#panel figure.chart').length") == 3, "three charts")
    check("from=emojify-api" in browser.run("return location.hash"), "the address holds the selection")
    browser.press("Escape")
    browser.until("closed by Esc", "return document.getElementById('panel').hidden")


def test_a_fault_shows_and_goes(page):
    browser = page.browser
    mark = browser.run(MARK)
    browser.until("the fault switches", "return !document.getElementById('faults-open').hidden", seconds=10)
    browser.click("#faults-open")
    target = (
        "const s = document.getElementById('fault-target'); const o = [...s.options].map((one) => one.value); "
        "if (!o.includes(arguments[0])) return null; s.value = arguments[0]; return o"
    )
    browser.until(f"the target {FAULT[0]}", target, FAULT[0])
    browser.run("document.getElementById('fault-value').value = arguments[0]", FAULT[1])
    browser.click("#fault-on")
    started = time.monotonic()
    try:
        words = browser.until("the edge in the error state", EDGE_IS, EDGE, ["error"], seconds=SEES_FAULT_SECONDS)
        print(f"     the fault showed after {time.monotonic() - started:.1f} s as {words!r}")
        check("◆" in words and "%" in words, f"a sign and a number, not only a colour: {words!r}")
        browser.until("the error share of the window", PILL + "return Number(pill.dataset.errorShare) > 0.02", EDGE)
        check("%" in browser.run("return document.title"), "the title shows the worst share")
        browser.click(f'[data-edge="{EDGE}"]')
        worst = "const row = document.querySelector('[data-pair].worst'); return row && row.dataset.pair"
        pair = browser.until("the worst pair of instances", worst)
        check(pair.endswith("cache#1") or pair.endswith("cache-1"), f"the broken instance is named: {pair}")
        page.picture("fault-light")
        browser.scheme("dark")
        page.picture("fault-dark")
        browser.scheme("light")
    finally:
        browser.run("document.querySelectorAll('#fault-list button').forEach((button) => button.click())")
    browser.until("no active fault", "return !document.querySelector('#fault-list button')")
    browser.until("the edge healthy again", EDGE_IS, EDGE, ["ok"], seconds=SEES_RECOVERY_SECONDS)
    check(browser.run(MARK) == mark, "without a reload")
    browser.press("Escape", "Escape")


def test_a_wrong_fault_is_explained(page):
    browser = page.browser
    browser.click("#faults-open")
    browser.until("the targets", "return document.getElementById('fault-target').options.length > 0")
    browser.run("document.getElementById('fault-value').value = 'lots'")
    browser.click("#fault-on")
    note = "const n = document.getElementById('fault-note'); return n.dataset.state === 'error' && n.textContent"
    check(len(browser.until("an explanation", note)) > 10, "a sentence")
    browser.press("Escape")
    browser.until("closed", "return document.getElementById('faults').hidden")


def test_keyboard(page):
    page.ready()
    browser = page.browser
    seen = []
    for _ in range(60):
        browser.press("Tab")
        name = browser.run(FOCUS)
        if name in SERVICES or "→" in name:
            seen.append(name)
        if "emojify-cache" in seen:
            break
    order = [seen.index(name) for name in ["emojify-ingress", "emojify-api", EDGE, "emojify-cache"] if name in seen]
    check(len(order) == 4 and order == sorted(order), f"callers, their calls, callees: {seen}")
    check(browser.run(OUTLINED), "focus is visible")
    browser.press("ArrowLeft")
    moved = browser.run(FOCUS)
    check(moved != "emojify-cache" and moved, f"an arrow key moves on: {moved}")
    browser.press("Enter")
    browser.until("Enter opens", "return !document.getElementById('panel').hidden")
    check(
        browser.run("return document.getElementById('panel').contains(document.activeElement)"),
        "reading goes on there",
    )
    browser.press("Escape")
    browser.until("Esc closes", "return document.getElementById('panel').hidden")
    check(browser.run(FOCUS) == moved, "the focus is back where it was")
    browser.press("/")
    check(browser.run(FOCUS) == "search", "/ searches")
    browser.press(*"facebox")
    faint = "return document.querySelector('[data-service=emojify-website]').classList.contains('faint')"
    browser.until("others are faint", faint)
    browser.press("Escape")
    browser.press("t")
    browser.until("t shows the table", "return document.querySelectorAll('#table tbody tr').length >= 4")
    browser.press("g")
    browser.press("?")
    browser.until("? helps", "return document.getElementById('help').open")
    browser.press("Escape")
    browser.until("Esc closes the help", "return !document.getElementById('help').open")


def test_table_sorts(page):
    page.ready()
    browser = page.browser
    browser.press("t")
    browser.click('[data-sort="rate"]')
    down = browser.run(RATES)
    check(len(down) >= 4 and down == sorted(down, reverse=True), f"by rate, downwards: {down}")
    sort = "return document.querySelector('[data-sort=rate]').closest('th').getAttribute('aria-sort')"
    check(browser.run(sort) == "descending", "aria-sort")
    page.picture("table-light")


def test_phone(page):
    browser = page.browser
    browser.size(390, 844, is_phone=True)
    for hash_ in ["", "#view=table", "#from=emojify-api&to=emojify-cache"]:
        page.ready() if not hash_ else browser.open("about:blank")
        browser.open(f"{page.base}/ui/{hash_}")
        browser.until("live", LIVE, seconds=20)
        browser.until("drawn", "return document.querySelectorAll('.card, #table tr').length > 4")
        check(browser.run(SIDEWAYS) <= 0, f"no sideways scrolling at 390 px with {hash_ or 'the graph'}")
        page.picture("phone" + hash_.replace("#", "-").replace("=", "-").replace("&", "-"))
    check(browser.run(SHEET), "the details are a sheet")
    browser.size(1440, 900)


def test_dark_and_light(page):
    browser = page.browser
    grounds = {}
    for scheme in ["light", "dark"]:
        browser.scheme(scheme)
        page.ready()
        grounds[scheme] = browser.run(GROUND)
        page.picture(f"scheme-{scheme}")
    check(grounds["light"] != grounds["dark"], f"follows the system: {grounds}")
    browser.press("d")
    check(browser.run(GROUND) == grounds["light"], "the switch overrides it")
    page.ready()
    check(browser.run(GROUND) == grounds["light"], "and is remembered")
    browser.run("localStorage.clear()")
    browser.scheme("light")


def test_stale_is_said(page):
    page.ready()
    browser = page.browser
    browser.cdp("Network.enable")
    browser.cdp(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    try:
        # The browser keeps an open stream when it is put offline; a new window needs a new one.
        browser.press("3")
        browser.until(
            "stale", "return document.getElementById('live').textContent.startsWith('stale since')", seconds=20
        )
        page.picture("stale")
    finally:
        browser.cdp(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
    browser.until("live again", LIVE, seconds=20)


def test_small_and_clean(page):
    browser = page.browser
    browser.cdp("Network.setCacheDisabled", cacheDisabled=True)
    page.ready()
    total = browser.run("""return performance.getEntries().filter((one) => one.encodedBodySize !== undefined
      && one.name.includes('/ui/')).reduce((all, one) => all + one.decodedBodySize, 0)""")
    check(0 < total < SIZE_LIMIT, f"{total} bytes of page and assets")
    print(f"     {total} bytes of page and assets, uncompressed")
    elsewhere = browser.run(
        "return performance.getEntriesByType('resource').map((one) => one.name)"
        ".filter((name) => !name.startsWith(location.origin) && !name.startsWith('data:'))"
    )
    check(not elsewhere, f"nothing from elsewhere: {elsewhere}")


def test_no_complaint_in_the_console(page):
    bad = [line["message"] for line in page.complaints if line["level"] in ("SEVERE", "WARNING")]
    check(not bad, "\n".join(bad))


# A browser logs every 4xx, and every connection that fails: these two cause them on purpose.
COMPLAINTS_EXPECTED = [test_a_wrong_fault_is_explained, test_stale_is_said]


def run(browser, base, pictures):
    page = Page(browser, base, pictures)
    page.complaints = []
    browser.size(1440, 900)
    browser.scheme("light")
    passed = failed = 0
    # In the order they are written: the console is judged last.
    for name, test in [(name, test) for name, test in globals().items() if name.startswith("test_")]:
        try:
            test(page)
            passed += 1
            print(f"ok   {name}", flush=True)
        except (AssertionError, WebDriverError) as error:
            failed += 1
            print(f"FAIL {name}: {error}", flush=True)
            page.picture(f"failed-{name}")
        except Exception:  # noqa: BLE001: one broken check must not hide the others
            failed += 1
            print(f"FAIL {name}:\n{traceback.format_exc()}", flush=True)
        logged = browser.log()
        page.complaints += [] if test in COMPLAINTS_EXPECTED else logged
    return passed, failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("base", help="such as http://127.0.0.1:8500")
    arguments.add_argument("--pictures", metavar="DIR", help="also write screenshots there")
    given = arguments.parse_args()
    if not (find("CHROMIUM", "chromium", "google-chrome") and find("CHROMEDRIVER", "chromedriver")):
        print("SKIPPED: chromium and chromedriver are missing (Debian: apt-get install chromium chromium-driver)")
        print(f"0 passed, {int(os.environ.get('CI') == 'true')} failed")
        return os.environ.get("CI") == "true"
    if given.pictures:
        os.makedirs(given.pictures, exist_ok=True)
    with Browser() as browser:
        passed, failed = run(browser, given.base, given.pictures)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
