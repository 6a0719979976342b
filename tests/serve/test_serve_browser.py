"""The pages in a real browser: chat with sources, battles, labels, and hostile text and pages."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serve_workspace import INJECTIONS, SENTENCE, build_workspace, log_steps, teach
from serve_world import Running, running, write_model

from gristmill.cli.serve_view import FolderView, open_view
from gristmill.serve.batching import RunningBatch, Step
from gristmill.serve.service import ServedModel
from gristmill.serve.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

ATTACK = "<img src=x onerror='window.pwned=1'> [x](javascript:window.pwned=1) **bold**"
HOSTILE_NAME = "<img src=x onerror=window.pwned=1>" if os.name != "nt" else "hostile"
NAMES = ("quagga-first", "okapi-second")
PAGES = ("/", "/chat", "/arena", "/labels", "/documents", "/runs")
MILLISECONDS = 120_000


@dataclass(frozen=True)
class Site:
    """The server, its workspace, and what votes and labels were stored."""

    server: Running
    workspace: Path
    store: Path

    def stored(self) -> Store:
        return Store.open(self.store, create=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("no Chrome or Chromium on this machine: the pages were not looked at in one")
    from playwright.sync_api import sync_playwright

    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        # Two names of strangers, both pointed at this machine.
        strangers = "MAP *.elsewhere.test 127.0.0.1, MAP rebound.test 127.0.0.1"
        sandbox = ["--no-sandbox"] if root else []
        started = playwright.chromium.launch(
            executable_path=found,
            args=[*sandbox, f"--host-resolver-rules={strangers}"],
            timeout=MILLISECONDS,
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("browser")
    workspace = build_workspace(folder)
    models = [
        teach(folder / NAMES[0], {"source": SENTENCE, "attack": ATTACK}),
        write_model(folder / NAMES[1], assistant=True, seed=1, context=4096, layers=10),
        write_model(folder / HOSTILE_NAME, seed=2),
    ]
    store = workspace / "serve" / "store.sqlite"
    with running(models, store, view=open_view(workspace)) as server:
        yield Site(server, workspace, store)


@dataclass
class Visit:
    """A page, and what went wrong on it."""

    page: Page
    wrong: list[str]
    elsewhere: list[str]

    def sound(self) -> None:
        """Nothing was thrown, blocked, opened, run or fetched from elsewhere."""
        assert not self.wrong and not self.elsewhere
        assert self.page.evaluate("window.pwned") is None
        assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@contextlib.contextmanager
def visiting(browser: Browser, site: Site, path: str, width: int = 1280) -> Iterator[Visit]:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, base_url=site.server.url
    )
    page = context.new_page()
    page.set_default_timeout(MILLISECONDS)
    visit = Visit(page, [], [])
    page.on("pageerror", lambda error: visit.wrong.append(str(error)))
    page.on("console", lambda said: _note(visit, said))
    page.on("dialog", lambda dialog: visit.wrong.append(f"dialog {dialog.message}"))
    page.on("popup", lambda opened: visit.wrong.append(f"popup {opened.url}"))
    own = urlsplit(site.server.url).netloc
    page.on("request", lambda asked: (
        None if urlsplit(asked.url).netloc == own else visit.elsewhere.append(asked.url)
    ))  # fmt: skip
    page.goto(path)
    yield visit
    context.close()


def _note(visit: Visit, said: Any) -> None:
    # A refusal with its mend is shown to the user, and Chromium logs its status beside it.
    if said.type in ("error", "warning") and "the server responded with a status" not in said.text:
        visit.wrong.append(said.text)


def ask(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.keyboard.press("Enter")


def test_chat_streams_keeps_the_conversation_and_shows_sources(
    browser: Browser, site: Site
) -> None:
    with visiting(browser, site, "/chat") as visit:
        page = visit.page
        page.select_option("#model", NAMES[0])
        page.fill("#temperature", "0")
        ask(page, "source")
        answer = page.locator("article.turn").last
        answer.get_by_text(SENTENCE).wait_for()
        button = answer.get_by_role("button", name="Where does this come from?")
        button.focus()
        page.keyboard.press("Enter")
        answer.locator(".sources a").first.wait_for()
        assert "barley for nine villages" in (answer.locator("mark").first.text_content() or "")
        assert "not causes" in answer.locator(".sources").inner_text()
        # The index is there now: the next answer brings its sources without being asked.
        ask(page, "source")
        page.locator("article.turn").nth(1).locator(".sources").wait_for()
        page.reload()
        page.locator("article.turn").nth(0).get_by_text(SENTENCE).wait_for()
        assert page.locator("article.turn").count() == 2
        assert page.locator("#temperature").input_value() == "0"
        page.get_by_role("button", name="New conversation").click()
        assert page.locator(".turn").count() == 0
        ask(page, "attack")
        page.locator("article.turn .sources").wait_for()
        assert "<img src=x" in page.locator("article.turn").inner_text()
        assert page.locator("article.turn img, article.turn a[href^='javascript']").count() == 0
        visit.sound()


def test_a_long_answer_is_stopped_and_frees_its_place(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RunningBatch.step

    def slow_step(batch: RunningBatch) -> list[Step]:
        time.sleep(0.01)
        return step(batch)

    # So slow that Stop is there however fast or busy the machine is.
    monkeypatch.setattr(RunningBatch, "step", slow_step)
    with visiting(browser, site, "/chat") as visit:
        page = visit.page
        page.select_option("#model", NAMES[1])
        page.fill("#max_tokens", "4000")
        # The most probable token is never the end; a drawn one may be, before Stop is there.
        page.fill("#temperature", "0")
        ask(page, "go on")
        page.locator("#stop").click()
        page.locator("#send").wait_for(state="visible")
        assert "stopped" in page.locator("article.turn").last.inner_text()
        # What the server refuses is shown, and what was typed is not lost.
        ask(page, "x" * 5000)
        page.locator("#problem").wait_for()
        assert "shorter" in page.locator("#problem").inner_text()
        assert page.locator("#text").input_value().startswith("xxx")
        visit.sound()


def test_a_battle_names_no_one_before_the_vote(browser: Browser, site: Site) -> None:
    with visiting(browser, site, "/arena", width=390) as visit:
        page, before = visit.page, len(site.server.sent)
        # Then it has taken the cursor, and takes it from nobody later.
        page.locator("#votes:not(:empty)").wait_for()
        ask(page, "source")
        page.locator("#choices button:enabled").first.wait_for()
        seen = site.server.sent[before:].decode("utf-8", "replace")
        assert '"ready"' in seen and not [name for name in NAMES if name in seen + page.content()]
        votes = len(site.stored().battles())
        # Below one another on a phone.
        a, b = (page.locator(f"#answer-{side}").bounding_box() for side in "ab")
        assert a and b and b["y"] > a["y"] + a["height"] and a["x"] == b["x"]
        page.keyboard.press("ArrowRight")
        page.locator("#ratings").wait_for()
        assert all(name in page.inner_text("#said") for name in NAMES)
        page.keyboard.press("Escape")
        (told,) = site.stored().battles()[votes:]
        assert told["winner"] == "b" and {told["model_a"], told["model_b"]} == set(NAMES)
        assert page.inner_text("#name-b") == f"B: {told['model_b']}"
        visit.sound()


def test_ten_pairs_by_keyboard_and_the_way_to_train_on_them(browser: Browser, site: Site) -> None:
    with visiting(browser, site, "/labels") as visit:
        page = visit.page
        page.locator("#pair").wait_for()
        keys = [
            "ArrowLeft",
            "2",
            "t",
            "u",
            "1",
            "s",
            "ArrowRight",
            "1",
            "2",
            "1",
            "2",
            "1",
            "2",
            "1",
        ]
        for key in keys:
            before = page.inner_text("#count")
            page.keyboard.press(key)
            page.wait_for_function(
                "t => document.getElementById('count').innerText !== t", arg=before
            )
        assert page.inner_text("#count") == "11 chosen, 1 skipped, 0 to go"
        page.locator("#commands li").nth(2).wait_for()
        commands = page.locator("#commands pre").all_inner_texts()
        assert str(site.store.resolve()) in commands[0] and "train dpo" in commands[2]
        preferences = site.stored().preferences()
        assert len(preferences) == 11 and {one["source"] for one in preferences} == {"hand"}
        visit.sound()


def test_documents_say_why_and_are_never_markup(browser: Browser, site: Site) -> None:
    with visiting(browser, site, "/documents?state=is:dropped") as visit:
        page = visit.page
        page.locator(".row").first.focus()
        page.keyboard.press("Enter")
        page.locator(".steps").wait_for()
        assert "dropped: too.dull" in page.inner_text("#one")
        page.select_option("#state", "")
        page.get_by_text("22 documents").wait_for()
        for number in range(20):
            page.locator(".row").nth(number).click()
            url = page.locator(".row").nth(number).get_attribute("data-url") or ""
            page.locator("#one .address", has_text=url).wait_for()
        assert page.locator("#list img, #one img, #list svg, #one iframe").count() == 0
        visit.sound()


def test_hostile_answers_and_names_do_nothing(browser: Browser, site: Site) -> None:
    kept = [
        message
        for text in INJECTIONS
        for message in ({"role": "user", "content": text},
                        {"role": "assistant", "content": text, "model": text})
    ]  # fmt: skip
    with visiting(browser, site, "/chat") as visit:
        page = visit.page
        page.evaluate("kept => sessionStorage.setItem('gristmill.chat', JSON.stringify(kept))",
                      {"messages": kept})  # fmt: skip
        page.reload()
        page.locator("article.turn").nth(len(INJECTIONS) - 1).wait_for()
        assert (
            page.locator("#talk img, #talk svg, #talk iframe, #talk script, #talk form").count()
            == 0
        )
        assert page.locator("option", has_text=HOSTILE_NAME).count() == 1
        for text in INJECTIONS[:3]:
            ask(page, text)
            page.locator("#send").wait_for(state="visible")
        page.goto("/")
        page.locator("#models tr").nth(2).wait_for()
        assert HOSTILE_NAME in page.inner_text("#models")
        visit.sound()


class HostileView(FolderView):
    """A workspace in which every name and every text is one of those strings."""

    @property
    def can_trace(self) -> bool:
        return True

    def runs(self) -> list[dict[str, Any]]:
        # A step between these is no other number.
        points = [[1, 1e20], [2, 1e20 + 16384], [2**60, 1e20 + 32768]]
        return [
            {"name": text, "artifact": text, "stage": text, "moving": False, "steps": 2,
             "curves": {text: points, "loss": points}}
            for text in INJECTIONS
        ]  # fmt: skip

    def trace(self, text: str) -> dict[str, Any]:
        documents = [
            {"url": one, "title": one, "id": one, "warc": one, "offset": 1, "excerpt": one,
             "match": [0, len(one)]}
            for one in INJECTIONS
        ]  # fmt: skip
        spans = [{"start": 0, "end": 1, "tokens": 1, "count": 1, "documents": documents}]
        return {"text": INJECTIONS[0], "spans": spans, "note": INJECTIONS[1]}

    def pairs(self) -> list[dict[str, Any]]:
        return [
            {"id": one, "group": "", "kind": "", "truth": {},
             "messages": [{"role": "system", "content": one}, {"role": "user", "content": one}],
             "first": {"content": one, "stopped": True}, "second": {"content": f"# {one}"}}
            for one in INJECTIONS
        ]  # fmt: skip

    def documents(self, query: str, page: int) -> dict[str, Any]:
        found = [{"url": one, "title": one, "kept": False, "by": one, "reason": one, "words": 1,
                  "excerpt": one} for one in INJECTIONS]  # fmt: skip
        return {"total": 20, "page": 1, "pages": 1, "counts": {"kept": 0, "dropped": 20},
                "documents": found}  # fmt: skip

    def why(self, url: str) -> dict[str, Any]:
        numbers = {url: url, "list": [url], "nested": {url: [url]}}
        steps = [
            {"stage": url, "said": said, "numbers": numbers} for said in (url, f"dropped{url}")
        ]
        return {"url": url, "title": url, "text": url, "steps": steps}


def test_hostile_names_do_nothing_on_any_page(browser: Browser, site: Site, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", assistant=True, seed=1)
    named = [ServedModel(text, folder, True) for text in INJECTIONS]
    store = tmp_path / "store.sqlite"
    acting = ", ".join(
        f"main {tag}" for tag in ("img", "iframe", "script", "style", "link", "math")
    )
    with running(named, store, view=HostileView(tmp_path)) as server:
        own = Site(server, tmp_path, store)

        def sound(visit: Visit) -> None:
            assert visit.page.locator(acting).count() == 0
            visit.sound()

        with visiting(browser, own, "/") as visit:
            visit.page.locator("#models tr").nth(19).wait_for()
            assert all(text in visit.page.inner_text("#models") for text in INJECTIONS[:3])
            sound(visit)
        with visiting(browser, own, "/chat") as visit:
            page = visit.page
            page.locator("#model option").nth(19).wait_for(state="attached")
            assert page.locator("#model option").all_inner_texts() == list(INJECTIONS)
            for text in INJECTIONS[:3]:
                page.select_option("#model", text)
                page.fill("#max_tokens", "4")
                ask(page, text)
                page.locator("article.turn").last.locator(".sources li li").nth(19).wait_for()
            sound(visit)
        with visiting(browser, own, "/arena") as visit:
            visit.page.locator("#votes:not(:empty)").wait_for()
            ask(visit.page, INJECTIONS[0])
            visit.page.locator("#choices button:enabled").first.wait_for()
            visit.page.keyboard.press("ArrowRight")
            visit.page.locator("#ratings tr").nth(1).wait_for()
            sound(visit)
        with visiting(browser, own, "/labels") as visit:
            for number in range(20):
                visit.page.get_by_text(f"{number} chosen").first.wait_for()
                sound(visit)
                visit.page.keyboard.press("1")
            visit.page.get_by_text("20 chosen").first.wait_for()
            sound(visit)
        with visiting(browser, own, "/documents") as visit:
            for number, text in enumerate(INJECTIONS):
                visit.page.locator(".row").nth(number).click()
                visit.page.locator("#one .address", has_text=text).wait_for()
            sound(visit)
        with visiting(browser, own, "/runs") as visit:
            visit.page.locator("svg path.curve").first.wait_for()
            sound(visit)


def test_runs_are_drawn_and_follow(browser: Browser, site: Site) -> None:
    with visiting(browser, site, "/runs", width=390) as visit:
        page = visit.page
        page.locator("svg path.curve").wait_for()
        assert "step 39" in page.inner_text("#names")
        log_steps(
            site.workspace / "unfinished" / "train.lm-0123456789ab" / "metrics.jsonl", [40, 41]
        )
        page.get_by_text("step 41").wait_for()
        visit.sound()


# What a page of another origin may try. Each says what it got, or "refused".
OTHER = """<!doctype html><body><form method=post action="{url}/api/battles/{battle}/vote"
 enctype="text/plain"><input name='{{"winner": "a", "x": "' value='"}}'></form><script>
const vote = "{url}/api/battles/{battle}/vote", ballot = '{{"winner": "a"}}';
const post = (path, more) => fetch(path, {{method: "POST", body: ballot, ...more}});
const json = {{"content-type": "application/json"}};
const read = (path, more) => fetch("{url}" + path, more).then((found) => found.text());
const loads = (tag, attributes) => new Promise((done, failed) => {{
  const node = Object.assign(document.createElement(tag), attributes);
  node.onload = () => done("loaded");
  node.onerror = failed;
  document.head.append(node);
}});
const opens = (thing) => new Promise((done, failed) => {{
  thing.onopen = thing.onmessage = () => done("opened");
  thing.onerror = failed;
}});
const framed = (attributes) => new Promise((done) => {{
  const frame = document.createElement("iframe");
  for (const [name, value] of Object.entries(attributes)) frame.setAttribute(name, value);
  addEventListener("message", (event) => done(event.data));
  // Not before it was loaded: until then there is an empty document of our own in it.
  frame.onload = () => setTimeout(() => {{
    try {{ done(frame.contentDocument ? "read" : "refused"); }} catch {{ done("refused"); }}
  }}, 1000);
  document.body.append(frame);
}});
const nobody = `<script>fetch("${{vote}}", {{method: "POST", body: '${{ballot}}',
  headers: {{"content-type": "application/json"}}}}).then((r) => r.text(), () => "refused")
  .then((said) => parent.postMessage(said, "*"))<` + "/script>";
const tries = {{
  json: () => post(vote, {{headers: json}}),
  credentials: () => post(vote, {{headers: json, credentials: "include"}}),
  put: () => fetch(vote, {{method: "PUT", body: ballot}}),
  silent: () => post(vote, {{mode: "no-cors"}}).then((found) => found.text()),
  form: () => post(vote, {{mode: "no-cors", body: new URLSearchParams({{winner: "a"}})}})
    .then((found) => found.text()),
  begin: () => post("{url}/api/battles", {{mode: "no-cors", body: '{{"prompt": "x"}}'}})
    .then((found) => found.text()),
  undo: () => post("{url}/api/labels/undo", {{mode: "no-cors", body: "{{}}"}})
    .then((found) => found.text()),
  documents: () => read("/api/documents"),
  models: () => read("/api/models", {{mode: "no-cors"}}),
  api: () => read("/v1/models"),
  page: () => read("/chat"),
  "module": () => import("{url}/static/app.js").then(() => "imported"),
  script: () => loads("script", {{src: "{url}/api/labels"}}),
  style: () => loads("link", {{rel: "stylesheet", href: "{url}/static/page.css"}}),
  image: () => loads("img", {{src: "{url}/static/icon.svg"}}),
  events: () => opens(new EventSource("{url}/api/runs")),
  socket: () => opens(new WebSocket("{url}/api/battles".replace("http", "ws"))),
  frame: () => framed({{src: "{url}/chat"}}),
  sandbox: () => framed({{sandbox: "allow-scripts", srcdoc: nobody}}),
}};
(async () => {{
  const told = {{}};
  for (const [name, attempt] of Object.entries(tries)) {{
    told[name] = await attempt().then((said) => String(said) || "refused", () => "refused");
  }}
  // A beacon is told nothing: whether it counted is looked up in the store.
  navigator.sendBeacon(vote, ballot);
  navigator.sendBeacon(vote, new Blob([ballot], {{type: "application/json"}}));
  await new Promise((done) => setTimeout(done, 300));
  window.told = told;
}})();
</script>"""


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "sub.elsewhere.test"])
def test_a_page_of_another_origin_can_neither_vote_nor_read(
    browser: Browser, site: Site, tmp_path: Path, name: str
) -> None:
    """Another port of this machine's, another of its names, and a stranger's."""
    stored = site.stored()
    stored.label(_PAIR, "tie")
    labels, votes = stored.labelled(), len(stored.battles())
    battle = stored.begin_battle(NAMES, "Why?")
    stored.answered(battle.id, "because", "so")
    page_text = OTHER.format(url=site.server.url, battle=battle.id)
    (tmp_path / "other.html").write_text(page_text, encoding="utf-8")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"http://{name}:{other.server_port}/other.html")
        page.wait_for_function("window.told")
        told = page.evaluate("window.told")
        with page.expect_navigation(url="**/vote"):
            page.evaluate("document.forms[0].submit()")
        page.close()
        other.shutdown()
    assert len(told) == 19 and {key: said for key, said in told.items() if said != "refused"} == {}
    # Nothing counted, whatever the page was told.
    assert stored.labelled() == labels and len(stored.battles()) == votes
    with contextlib.closing(sqlite3.connect(site.store)) as database:
        (begun,) = database.execute("SELECT count(*) FROM votes WHERE winner IS NULL").fetchone()
    assert begun == 1 and stored.vote(battle.id, "tie") == battle
    stored.undo_label()
    stored.close()


_PAIR = {"id": "kept", "messages": [], "first": {"content": "1"}, "second": {"content": "2"}}


def test_a_name_that_was_pointed_here_shows_nothing(browser: Browser, site: Site) -> None:
    """DNS rebinding, by a browser that believes the name."""
    page = browser.new_page()
    page.set_default_timeout(MILLISECONDS)
    for path in ("/chat", "/api/documents", "/v1/models", "/static/app.js"):
        answer = page.goto(f"http://rebound.test:{site.server.port}{path}")
        assert answer is not None and answer.status == 421
        assert "wrong_host" in page.content() and NAMES[0] not in page.content()
    said = page.evaluate("fetch('/api/models').then((found) => found.status)")
    assert said == 421
    page.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said: Any) -> None: ...


@pytest.mark.parametrize("path", PAGES)
def test_on_a_phone_nothing_sticks_out_and_all_has_a_name(
    browser: Browser, site: Site, path: str
) -> None:
    with visiting(browser, site, path, width=390) as visit:
        page = visit.page
        page.wait_for_load_state("networkidle")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, select, textarea, button')]"
            ".filter(n => !(n.labels?.length || n.textContent.trim() || n.ariaLabel))"
            ".map(n => n.outerHTML)"
        )
        assert not unnamed
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        visit.sound()
