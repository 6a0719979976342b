// Lines over steps as SVG: axes with round ticks, several series, values under the pointer.

const SPACE = "http://www.w3.org/2000/svg";

function part(tag, attributes, text) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function ticks(low, high, most) {
  const rough = (high - low) / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * size).find((one) => one >= rough);
  const found = [], first = Math.ceil(low / step);
  // Counted: of large numbers the next may be the same.
  for (let place = 0; place <= 2 * most; place += 1) {
    const at = (first + place) * step;
    if (at > high + step * 1e-9) break;
    found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  }
  return found;
}

function powers(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
    for (const times of [1, 2, 5]) { const at = times * 10 ** power; if (at >= low && at <= high) found.push(at); }
  return found;
}

function tell(value) {
  const size = Math.abs(value);
  if (size >= 1e4 || (size > 0 && size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

// series: [{name, colour, points: [[x, y], ...]}].
export function draw(place, series, { logX = false, label = "" } = {}) {
  const width = Math.max(280, place.clientWidth), height = Math.max(220, Math.min(420, width * 0.5));
  const edge = { left: 52, right: 14, top: 12, bottom: 34 };
  const all = series.flatMap((one) => one.points);
  if (!all.length) { place.replaceChildren(); return; }
  let [left, right] = [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))];
  // The first steps of a training would squeeze all that follows: the scale follows the middle 98%.
  const heights = all.map((p) => p[1]).sort((a, b) => a - b);
  let low = heights[Math.floor(heights.length * 0.005)], high = heights[Math.ceil(heights.length * 0.995) - 1];
  if (high - low < 1e-12) { const half = Math.abs(high) * 0.1 || 1; low -= half; high += half; }
  const air = (high - low) * 0.05;
  low -= air; high += air;
  if (logX) left = Math.max(1, left);
  if (right <= left) right = left + 1;
  const along = logX ? (x) => Math.log(Math.max(x, left) / left) / Math.log(right / left) : (x) => (x - left) / (right - left);
  const atX = (x) => edge.left + along(x) * (width - edge.left - edge.right);
  const atY = (y) => height - edge.bottom - ((Math.min(Math.max(y, low), high) - low) / (high - low)) * (height - edge.top - edge.bottom);

  const picture = part("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `${label}: ${series.map((one) => `${one.name} ends at ${tell(one.points.at(-1)[1])}`).join(", ")}` });
  for (const y of ticks(low, high, 6)) {
    picture.append(part("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: atY(y), y2: atY(y) }),
      part("text", { class: "tick", x: edge.left - 6, y: atY(y) + 4, "text-anchor": "end" }, tell(y)));
  }
  let last = -100;
  for (const x of logX ? powers(left, right) : ticks(left, right, width < 500 ? 4 : 8)) {
    if (atX(x) - last < 46) continue;
    last = atX(x);
    picture.append(part("line", { class: "grid", x1: last, x2: last, y1: edge.top, y2: height - edge.bottom }),
      part("text", { class: "tick", x: last, y: height - edge.bottom + 16, "text-anchor": "middle" }, tell(x)));
  }
  picture.append(part("text", { class: "tick", x: width - edge.right, y: height - 3, "text-anchor": "end" }, "step"));
  for (const one of series) {
    const way = one.points.map(([x, y], index) => `${index ? "L" : "M"}${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`).join("");
    picture.append(part("path", { class: `curve colour${one.colour}`, d: way }));
    if (one.points.length < 12) for (const [x, y] of one.points) picture.append(part("circle", { class: `dot colour${one.colour}`, cx: atX(x), cy: atY(y), r: 3 }));
  }
  const hair = part("line", { class: "hair", y1: edge.top, y2: height - edge.bottom, x1: -9, x2: -9 });
  picture.append(hair);
  const read = document.createElement("p");
  read.className = "read soft";
  const rest = () => {
    hair.setAttribute("x1", -9); hair.setAttribute("x2", -9);
    read.textContent = series.map((one) => `${one.name} ${tell(one.points.at(-1)[1])}`).join("   ");
  };
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - edge.left) / (width - edge.left - edge.right);
    const step = logX ? left * (right / left) ** share : left + share * (right - left);
    if (share < 0 || share > 1) { rest(); return; }
    hair.setAttribute("x1", atX(step)); hair.setAttribute("x2", atX(step));
    const near = series.map((one) => [one, one.points.reduce((best, p) => (Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best))]);
    read.textContent = `step ${Math.round(step).toLocaleString("en")}:   ${near.map(([one, p]) => `${one.name} ${tell(p[1])}`).join("   ")}`;
  });
  picture.addEventListener("pointerleave", rest);
  rest();
  place.replaceChildren(picture, read);
}
