import { attempt, find, get, make, number, showEmpty } from "./app.js";

let page = 1, asked = 0;

async function search() {
  const turn = ++asked;
  find("count").textContent = "Reading the documents …";
  const query = `${find("state").value} ${find("query").value}`.trim();
  const found = await attempt(() => get(`/api/documents?q=${encodeURIComponent(query)}&page=${page}`));
  if (turn !== asked) return;
  if (!found) { find("both").hidden = true; return; }
  find("both").hidden = false;
  page = found.page;
  find("summary").textContent = `${number(found.counts.kept)} kept, ${number(found.counts.dropped)} dropped.`;
  find("count").textContent = found.total === 1 ? "1 document" : `${number(found.total)} documents`;
  find("list").replaceChildren(...found.documents.map(line));
  find("page").textContent = `${number(found.page)} of ${number(found.pages)}`;
  find("before").disabled = found.page <= 1;
  find("after").disabled = found.page >= found.pages;
  find("empty").hidden = true;
  if (!found.total) showEmpty("No document has all of these words. Try fewer, or another state.");
  remember();
}

function line(one) {
  const open = make("button", { type: "button", class: "row" },
    make("b", {}, one.title || one.url), verdict(one),
    make("span", { class: "address" }, one.url), make("span", { class: "excerpt" }, one.excerpt));
  open.addEventListener("click", () => show(one.url));
  open.dataset.url = one.url;
  return make("li", {}, open);
}

const verdict = (one) => make("span", { class: one.kept ? "tag kept" : "tag dropped" }, one.kept ? "kept" : `dropped: ${one.reason || one.by}`);

async function show(url, focus = true) {
  const found = await attempt(() => get(`/api/why?url=${encodeURIComponent(url)}`));
  if (!found) return;
  for (const row of document.querySelectorAll(".row")) row.toggleAttribute("aria-current", row.dataset.url === url);
  const place = find("one");
  place.replaceChildren(
    make("h2", {}, found.title || url), make("p", { class: "address" }, found.url), verdictOf(found.steps),
    make("div", { class: "beside" },
      make("section", { "aria-label": "What each step said" }, make("h3", {}, "What each step said"), make("ol", { class: "steps" }, ...found.steps.map(step))),
      make("section", { "aria-label": "Extracted text" }, make("h3", {}, "Extracted text"), make("div", { class: "said plain text" }, found.text || "There is none: it never became a document."))));
  remember(url);
  if (focus) { place.focus({ preventScroll: true }); if (innerWidth <= 900) place.scrollIntoView(); }
}

// Where the page's way ended: the step that dropped it, or that it came through.
function verdictOf(steps) {
  const last = steps.find((one) => /^(dropped|rejected|forbidden|failed)/.test(one.said)) || steps.at(-1);
  const bad = /^(dropped|rejected|forbidden|failed)/.test(last.said);
  return make("p", {}, make("span", { class: `tag first ${bad ? "dropped" : "kept"}` }, bad ? `${last.said} by ${last.stage}` : `came through: ${last.said} (${last.stage})`));
}

function step(one) {
  const numbers = Object.entries(one.numbers);
  const said = String(one.said);
  const tag = said.startsWith("dropped") || said.startsWith("rejected") ? "tag dropped" : "tag kept";
  return make("li", {}, make("b", {}, one.stage), " ", make("span", { class: tag }, said),
    numbers.length ? make("dl", {}, ...numbers.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, shown(value))])) : null,
    ...limits(one.rules || []));
}

// The limits of a filter that a page failed, and folded those that it kept, the nearest first.
function limits(rules) {
  const lines = (some) => make("dl", {}, ...some.flatMap((one) => [make("dt", {}, one.rule), make("dd", {}, `${number(one.value, 4)}${one.failed ? "" : ", not"} ${one.fails} ${number(one.limit, 4)}`)]));
  const failed = rules.filter((one) => one.failed), kept = rules.filter((one) => !one.failed);
  return [failed.length ? lines(failed) : null,
    kept.length ? make("details", {}, make("summary", {}, `${kept.length} limits that it kept, the nearest first`), lines(kept)) : null];
}

function shown(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : number(value, 4);
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return value.join(", ").slice(0, 300);
  if (value !== null && typeof value === "object") return JSON.stringify(value).slice(0, 300);
  return String(value).slice(0, 300);
}

function remember(url) {
  const place = new URLSearchParams(location.search);
  place.set("q", find("query").value);
  place.set("state", find("state").value);
  place.set("page", page);
  if (url) place.set("url", url);
  for (const [name, value] of [...place]) if (!value || value === "1") place.delete(name);
  history.replaceState(null, "", `${location.pathname}${place.size ? `?${place}` : ""}`);
}

find("search").addEventListener("submit", (event) => { event.preventDefault(); page = 1; search(); });
find("state").addEventListener("change", () => { page = 1; search(); });
find("before").addEventListener("click", () => { page -= 1; search(); });
find("after").addEventListener("click", () => { page += 1; search(); });

const place = new URLSearchParams(location.search);
find("query").value = place.get("q") || "";
find("state").value = ["is:kept", "is:dropped"].includes(place.get("state")) ? place.get("state") : "";
page = Math.max(1, Number(place.get("page")) || 1);
search().then(() => { if (place.get("url")) show(place.get("url"), innerWidth < 900); });
