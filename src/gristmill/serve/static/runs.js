import { attempt, find, get, make, showEmpty } from "./app.js";
import { draw } from "./chart.js";

const EVERY = 3000;
const COLOURS = 8;
let runs = [], chosen = null;

const known = (name) => runs.filter((run) => run.curves[name]);

function fill() {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))];
  const before = find("curve").value;
  if (find("curve").childElementCount !== names.length) {
    find("curve").replaceChildren(...names.map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
    find("curve").value = names.includes(before) ? before : names[0];
  }
  // At first those that move, and the newest of each kind of training.
  if (!chosen) {
    const seen = new Set();
    chosen = new Set(runs.filter((run) => run.moving || (!seen.has(run.stage) && seen.add(run.stage))).map((run) => run.artifact));
  }
  const boxes = runs.map((run, index) => {
    const box = make("input", { type: "checkbox", value: run.artifact });
    box.checked = chosen.has(run.artifact);
    box.addEventListener("change", () => { chosen[box.checked ? "add" : "delete"](run.artifact); show(); });
    return make("label", { class: `run colour${index % COLOURS}`, title: run.artifact }, box, make("span", { class: "swatch", "aria-hidden": "true" }),
      make("span", {}, run.name), run.moving ? make("span", { class: "tag kept" }, `step ${run.steps.toLocaleString("en")}`) : null);
  });
  const focused = document.activeElement?.value;
  find("names").replaceChildren(...boxes);
  if (focused) find("names").querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
}

function show() {
  const name = find("curve").value;
  const series = runs.map((run, index) => ({ name: run.name, colour: index % COLOURS, points: run.curves[name] || [], shown: chosen.has(run.artifact) }))
    .filter((one) => one.shown && one.points.length);
  find("title").textContent = `${name.replaceAll("_", " ")} by step`;
  draw(find("chart"), series, { logX: find("across").value === "log", label: name.replaceAll("_", " ") });
  if (!series.length) find("chart").replaceChildren(make("p", { class: "soft" }, known(name).length ? "None of the chosen trainings has this curve." : "Choose a training below."));
}

async function look() {
  const found = await attempt(() => get("/api/runs"));
  if (!found) return false;
  runs = found.runs;
  const moving = runs.filter((run) => run.moving).length;
  find("field").hidden = !runs.length;
  find("empty").hidden = true;
  if (!runs.length) { showEmpty("No training has run in this workspace yet:", "gristmill run demo"); return true; }
  const count = `${runs.length} ${runs.length === 1 ? "training" : "trainings"}`;
  find("summary").textContent = moving ? `${count}, ${moving} still moving: the curves follow.` : `${count}, all finished.`;
  fill();
  show();
  return true;
}

async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, runs.some((run) => run.moving) ? EVERY : 5 * EVERY);
}

find("settings").addEventListener("change", show);
find("settings").addEventListener("submit", (event) => event.preventDefault());
let width = innerWidth;
addEventListener("resize", () => { if (runs.length && innerWidth !== width) { width = innerWidth; show(); } });
follow();
