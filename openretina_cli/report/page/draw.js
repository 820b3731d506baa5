// --- draw: canvases that are sharp on every screen, and the colours of the composition figure ---

// RdBu of ColorBrewer (Brewer, Harrower and Pennsylvania State University) from blue to red, as in the figure.
const DIVERGING = [
  "053061",
  "2166ac",
  "4393c3",
  "92c5de",
  "d1e5f0",
  "f7f7f7",
  "fddbc7",
  "f4a582",
  "d6604d",
  "b2182b",
  "67001f",
].map((hex) => [0, 2, 4].map((start) => parseInt(hex.slice(start, start + 2), 16)));

/** Red, green and blue for a value in [-1, 1]; the light middle is a little dimmer on a dark page. */
function divergingColor(value) {
  const place = ((Math.min(Math.max(value, -1), 1) + 1) / 2) * (DIVERGING.length - 1);
  const low = Math.min(Math.floor(place), DIVERGING.length - 2),
    share = place - low;
  const light = colors.dark ? 0.9 : 1;
  return DIVERGING[low].map((level, index) => light * (level + (DIVERGING[low + 1][index] - level) * share));
}

let colors = {};

/** Read the colours of the present theme; canvases do not follow style sheets by themselves. */
function readColors() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  colors = Object.fromEntries(
    ["text", "muted", "line", "faint", "window", "trace", "surface", "accent", "bad"].map((name) => [
      name,
      value(name),
    ]),
  );
  colors.dark = value("dark") === "1";
}

/** A line's colour; on a dark page it is mixed with white, as the figure's colours are made for paper. */
function lineColor(hex) {
  if (!colors.dark) return hex;
  const mix = (start) => Math.round(parseInt(hex.slice(start, start + 2), 16) * 0.62 + 255 * 0.38);
  return `rgb(${mix(1)}, ${mix(3)}, ${mix(5)})`;
}

/** A canvas's context in CSS pixels, cleared. */
function contextOf(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "11px system-ui, sans-serif";
  return context;
}

/** A picture in [-1, 1] as an image of one pixel per value. */
function imageOf(values, columns, rows) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d"),
    image = context.createImageData(columns, rows);
  values.forEach((value, index) => {
    const [red, green, blue] = divergingColor(value);
    image.data.set([red, green, blue, 255], 4 * index);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** About `count` round numbers from `low` to `high`. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1,
    decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * decade).find((size) => size >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9),
    last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** Zero, and the roundest number below each end, for small axes. */
function fewTicks(low, high) {
  const size = Math.max(-low, high),
    decade = 10 ** Math.floor(Math.log10(size * 0.999));
  const round = Number((Math.floor((size * 0.999) / decade) * decade).toPrecision(12));
  return [-round, 0, round].filter((value) => value >= low && value <= high);
}

/** The largest of 1, 2, 5, 10 ... um that is at most a third of a width in um. */
function scaleBarLength(width) {
  const decade = 10 ** Math.floor(Math.log10(width / 3));
  return Math.max(...[1, 2, 5].map((factor) => factor * decade).filter((length) => length <= (width / 3) * (1 + 1e-9)));
}
