import { attempt, clearProblem, composing, find, get, isFree, lines, make, post, setHtml, showEmpty, showProblem } from "./app.js";

const KEPT = "gristmill.chat";
const talk = find("talk"), text = find("text"), composer = find("composer");
const fit = composing(text, composer);
let messages = [], models = [], canTrace = false, running = null;

const assistant = () => models.find((model) => model.name === find("model").value)?.assistant;

function keep() {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ messages, model: find("model").value, system: find("system").value,
      temperature: find("temperature").value, max_tokens: find("max_tokens").value }));
  } catch { /* no room, or not allowed: then it is not kept */ }
}

function kept() {
  try { return JSON.parse(sessionStorage.getItem(KEPT)) || {}; } catch { return {}; }
}

const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 60;
const toEnd = () => window.scrollTo({ top: document.documentElement.scrollHeight });

function addAsked(content) {
  talk.append(make("div", { class: "turn asked-turn" }, make("div", { class: "who" }, "You"), make("div", { class: "said plain" }, content)));
}

function addAnswer(model) {
  const said = make("div", { class: "said plain" });
  const tools = make("div", { class: "tools" });
  const turn = make("article", { class: "turn answer-turn", "aria-label": "Answer" }, make("div", { class: "who" }, model), said, tools);
  talk.append(turn);
  return { turn, said, tools };
}

// Without markup the plain text that stands there stays.
function dress(place, html) {
  if (!html) return;
  place.said.classList.remove("plain");
  setHtml(place.said, html);
}

// The answer is whole: its markup, and the way to its sources.
function finish(place, content, html, note) {
  dress(place, html);
  if (!content.trim()) place.said.replaceChildren(make("span", { class: "soft" }, "(an empty answer)"));
  if (note) place.tools.append(make("span", { class: "soft" }, note));
  if (!content.trim()) return;
  const button = make("button", { type: "button", class: "small", "aria-expanded": "false" }, "Where does this come from?");
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-expanded") === "true") hideSources(place, button, html);
    else showSources(place, button, content, true);
  });
  place.tools.append(button);
  if (canTrace) showSources(place, button, content, false);
}

function hideSources(place, button, html) {
  place.turn.querySelector(".sources")?.remove();
  place.said.classList.remove("plain");
  setHtml(place.said, html);
  button.setAttribute("aria-expanded", "false");
  button.textContent = "Where does this come from?";
}

async function showSources(place, button, content, asked) {
  button.disabled = true;
  if (asked && !canTrace) button.textContent = "Looking; the first time sorts all training documents …";
  try {
    const found = await post("/api/trace", { text: content });
    const stay = atEnd();
    drawSources(place, found);
    button.setAttribute("aria-expanded", "true");
    button.textContent = "Hide the sources";
    canTrace = true;
    if (stay) toEnd();
  } catch (error) {
    button.textContent = "Where does this come from?";
    if (asked) showProblem(error);
  }
  finally { button.disabled = false; }
}

function drawSources(place, found) {
  // Places are counted in characters, as the server counts them, not in halves of pairs.
  const letters = Array.from(found.text);
  const parts = [], items = [];
  let at = 0;
  found.spans.forEach((span, index) => {
    const name = String(index + 1);
    const start = Math.max(at, span.start), end = Math.max(start, span.end);
    parts.push(letters.slice(at, start).join(""));
    const item = make("li", { value: name, tabindex: "-1" },
      make("q", {}, letters.slice(span.start, span.end).join("").trim()),
      make("span", { class: "soft" }, ` ${span.tokens} tokens, ${span.count === 1 ? "once" : `${span.count} times`}`),
      make("ul", {}, ...span.documents.map(drawDocument)));
    const mark = make("mark", { tabindex: "0", role: "button", "aria-label": `Source ${name}: ${letters.slice(start, end).join("")}` },
      letters.slice(start, end).join(""), make("sup", { "aria-hidden": "true" }, name));
    const show = () => { items.forEach((one) => one.classList.toggle("lit", one === item)); };
    mark.addEventListener("mouseenter", show);
    mark.addEventListener("focus", show);
    mark.addEventListener("click", () => item.focus());
    mark.addEventListener("keydown", (event) => { if (event.key === "Enter") item.focus(); });
    parts.push(mark);
    items.push(item);
    at = end;
  });
  parts.push(letters.slice(at).join(""));
  place.said.classList.add("plain");
  place.said.replaceChildren(...parts);
  place.turn.querySelector(".sources")?.remove();
  place.turn.append(make("section", { class: "sources", "aria-label": "Sources" },
    items.length ? make("ol", {}, ...items) : null,
    make("p", { class: "soft" }, found.note || (items.length ? "Matches, not causes: the same words stand there." : "No long stretch of this answer stands in the training documents."))));
}

function drawDocument(one) {
  const record = one.warc ? `${one.warc}${one.offset === null || one.offset === undefined ? "" : ` at byte ${Number(one.offset).toLocaleString("en")}`}` : "";
  return make("li", {},
    make("a", { href: `/documents?url=${encodeURIComponent(one.url || "")}` }, one.title || one.url || one.id || "a document"),
    make("span", { class: "address" }, one.url || ""),
    record ? make("span", { class: "address" }, `WARC record: ${record}`) : null,
    one.excerpt ? make("span", { class: "excerpt" }, ...excerpt(one)) : null);
}

function excerpt(one) {
  const letters = Array.from(one.excerpt);
  const [start, end] = Array.isArray(one.match) ? one.match : [0, 0];
  return ["… ", letters.slice(0, start).join(""), make("b", {}, letters.slice(start, end).join("")), letters.slice(end).join(""), " …"];
}

async function send() {
  const content = text.value.trim();
  if (!content || running) return;
  const model = find("model").value;
  clearProblem();
  find("empty").hidden = true;
  const system = find("system").value.trim();
  addAsked(content);
  const place = addAnswer(model);
  place.turn.setAttribute("aria-busy", "true");
  place.said.classList.add("waiting");
  text.value = "";
  fit();
  toEnd();
  running = new AbortController();
  find("stop").hidden = false;
  find("send").hidden = true;
  const asked = { role: "user", content };
  const sent = [...(system && assistant() ? [{ role: "system", content: system }] : []), ...messages, asked];
  let said = "", done = null;
  try {
    const body = { model, messages: sent, temperature: Number(find("temperature").value), max_tokens: Number(find("max_tokens").value) };
    for await (const line of lines("/api/chat", body, running.signal)) {
      if (line.text) {
        const stay = atEnd();
        said += line.text;
        place.said.append(line.text);
        if (stay) toEnd();
      }
      if (line.done) done = line;
    }
  } catch (error) {
    if (error.name !== "AbortError") { showProblem(error); if (!said) { text.value = content; fit(); } }
  }
  place.said.classList.remove("waiting");
  place.turn.removeAttribute("aria-busy");
  const stopped = running.signal.aborted;
  if (said || done || stopped) {
    messages.push(asked, { role: "assistant", content: done ? done.said : said, model });
    keep();
    const stay = atEnd();
    const html = done ? done.html : await markup(said);
    const note = stopped ? "stopped" : done && done.done === "length" ? "cut at the longest answer" : "";
    finish(place, done ? done.said : said, html, note);
    if (stay) toEnd();
    text.focus();
  } else {
    place.turn.previousElementSibling.remove();
    place.turn.remove();
  }
  // Only now: whoever sees that the next question may be sent sees this answer whole.
  running = null;
  find("stop").hidden = true;
  find("send").hidden = false;
}

// Of an answer that came without its markup; its plain text where there is none to be had.
async function markup(content) {
  try { return (await post("/api/markdown", { texts: [content] })).html[0]; } catch { return ""; }
}

async function restore(old) {
  messages = Array.isArray(old.messages) ? old.messages : [];
  const answers = messages.filter((message) => message.role === "assistant");
  const { html } = answers.length ? await post("/api/markdown", { texts: answers.map((message) => message.content) }) : { html: [] };
  const automatic = canTrace;
  let next = 0;
  // Answers of before are looked up when asked for.
  canTrace = false;
  messages.forEach((message) => {
    if (message.role === "user") { addAsked(message.content); return; }
    finish(addAnswer(message.model || ""), message.content, html[next], "");
    next += 1;
  });
  canTrace = automatic;
  if (messages.length) toEnd();
}

function describe() {
  text.placeholder = assistant() === false ? "A text to go on from" : "Ask something";
  find("system").disabled = assistant() === false;
}

// A first question; a small model knows what its texts tell and little more.
function invite() {
  if (messages.length || !assistant()) { find("empty").hidden = true; return; }
  showEmpty("Ask about a place, a person or a thing that the training texts tell of (Documents lists them), such as:", "What is Minsk?");
}

composer.addEventListener("submit", (event) => { event.preventDefault(); send(); });
find("stop").addEventListener("click", () => running?.abort());
find("new").addEventListener("click", () => {
  running?.abort();
  messages = [];
  talk.replaceChildren();
  invite();
  keep();
  text.focus();
});
find("model").addEventListener("change", () => { describe(); invite(); keep(); });
find("settings").addEventListener("change", keep);
find("settings").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) running.abort();
  else if (event.key === "/" && isFree(event)) { event.preventDefault(); text.focus(); }
});

attempt(async () => {
  const old = kept();
  ({ models, can_trace: canTrace } = await get("/api/models"));
  if (!models.length) {
    composer.hidden = true;
    find("settings").hidden = true;
    showEmpty("There is no model here yet. Make some, or name a folder with --model:", "gristmill run demo\ngristmill serve --workspace runs/demo");
    return;
  }
  const assistants = models.filter((model) => model.assistant);
  find("model").replaceChildren(...models.map((model) => make("option", { value: model.name }, model.assistant ? model.name : `${model.name} (goes on from a text)`)));
  const wanted = new URLSearchParams(location.search).get("model") || old.model;
  find("model").value = models.some((model) => model.name === wanted) ? wanted : (assistants[0] || models[0]).name;
  for (const name of ["system", "temperature", "max_tokens"]) if (old[name]) find(name).value = old[name];
  describe();
  await restore(old);
  invite();
  text.focus();
});
