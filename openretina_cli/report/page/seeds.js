// --- seeds: runs that differ by their seed alone share a card, which shows the best and leads to the others ---

const STRIP = 64; // px of a card for its seeds
const THUMB = { edge: 30, most: 8 };
const hasCells = report.cells.length > 0;

/** The cell of a run, with its runs, the best first; null for a run alone. */
const cellOfRun = (run) => report.cells[run.cell] ?? null;
const runsOf = (cell) => cell.runs.map((place) => runs[place]);
const showsTogether = (run) => state.seeds !== "apart" && cellOfRun(run) !== null;

/** What cells can be sorted by. */
function seedSortings() {
  const value = (name) => (run) => cellOfRun(run)?.[name] ?? null;
  return report.cells.length === 0
    ? []
    : [
        { key: "spread", label: "spread of the objective over seeds", value: value("sd"), down: true },
        { key: "alike", label: "cosine between seeds", value: value("cosine"), down: true },
      ];
}

/** The runs that have a card: of runs that share one, the first of the best that passed the filters. */
function cardRuns(passing) {
  if (!hasCells || state.seeds === "apart") return passing;
  const passed = new Set(passing),
    seen = new Set();
  return passing.flatMap((run) => {
    const cell = cellOfRun(run);
    if (!cell) return [run];
    if (seen.has(cell)) return [];
    seen.add(cell);
    return [runsOf(cell).find((own) => passed.has(own))];
  });
}

/** The place of the card that shows a run, itself or with other seeds; -1 where none does. */
function placeOfCard(run) {
  const cell = showsTogether(run) ? cellOfRun(run) : null;
  return ordered.findIndex((other) => other === run || (cell && cellOfRun(other) === cell));
}

function countOf(passing) {
  const total = runs.length,
    every = passing.length === total;
  const words = every ? `${total} ${total === 1 ? "run" : "runs"}` : `${passing.length} of ${total} runs`;
  return ordered.length === passing.length ? words : `${words}, ${ordered.length} cards`;
}

/** The seeds of a card in words. */
function seedsLine(run) {
  const cell = cellOfRun(run),
    spread = isNumber(cell.sd) ? ` · ${format(cell.mean)} ± ${format(cell.sd, 2)}` : "";
  const alike = isNumber(cell.cosine) ? ` · cosine ${format(cell.cosine, 2)}` : "";
  return `${cell.runs.length} seeds${spread}${alike}`;
}

/** A small picture of each seed, the best first, with its cosine with the best; a click opens that run. */
function seedStrip(run) {
  if (!showsTogether(run)) return make("div", { className: "seeds" });
  const cell = cellOfRun(run),
    own = runsOf(cell);
  const thumbs = own.slice(0, THUMB.most).map((other) => {
    const canvas = make("canvas", {});
    drawThumb(canvas, other);
    const words = `seed ${other.seed}: ${isNumber(other.final) ? format(other.final, 4) : other.status}`;
    const alike = isNumber(other.cosine) ? `, cosine ${format(other.cosine, 2)} with the best` : "";
    const title = words + alike,
      href = addressOf({ run: other.name });
    const link = make("a", { className: "seed", href, title, tabindex: "-1", "aria-label": title }, canvas);
    link.append(format(other.cosine, 2));
    link.run = other;
    return link;
  });
  const more = own.length > THUMB.most ? make("span", { className: "more" }, `+${own.length - THUMB.most}`) : null;
  return make("div", { className: "seeds" }, ...thumbs, more);
}

const thumbs = new Map(); // run -> its small picture, and the theme that it was made for

/** The picture of the strongest channel, one pixel per value, light where the stimulus is light at its peak. */
function thumbOf(run) {
  const known = thumbs.get(run);
  if (known?.dark === colors.dark) return known.image;
  const place = run.scales.indexOf(Math.max(...run.scales)),
    [rows, columns] = run.size;
  const course = wholeNumbersOf(run.temporal).subarray(place * run.frames, (place + 1) * run.frames);
  const sign = course.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0) < 0 ? -1 : 1;
  const bytes = bytesOf(run.spatial).subarray(place * rows * columns, (place + 1) * rows * columns);
  const image = imageOf(Float64Array.from(bytes, (value) => sign * (value / 127 - 1)), columns, rows);
  thumbs.set(run, { dark: colors.dark, image });
  return image;
}

function drawThumb(canvas, run) {
  const context = contextOf(canvas, THUMB.edge, THUMB.edge);
  if (!run.spatial) return;
  const image = thumbOf(run),
    scale = THUMB.edge / Math.max(image.width, image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  context.imageSmoothingEnabled = false;
  context.drawImage(image, (THUMB.edge - width) / 2, (THUMB.edge - height) / 2, width, height);
}

/** The seeds of a run's cell as a table, and their mean where they agree. */
function cellOf(run) {
  const cell = cellOfRun(run);
  if (!cell) return null;
  const rows = runsOf(cell).map((other) =>
    make(
      "tr",
      { className: other === run ? "here" : "" },
      make("th", { scope: "row" }, make("a", { href: addressOf({ run: other.name }) }, `seed ${other.seed}`)),
      make("td", {}, isNumber(other.final) ? format(other.final, 5) : other.status),
      make("td", {}, isNumber(other.cosine) ? format(other.cosine, 3) : "–"),
    ),
  );
  const head = ["", "objective after", "cosine with the best"].map((text) => make("th", { scope: "col" }, text));
  const table = make(
    "table",
    { className: "facts seeds" },
    make("caption", {}, `Seeds: ${seedsLine(run)}`),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...rows),
  );
  if (!cell.picture) return table;
  const canvas = make("canvas", { className: "mean", role: "img", "aria-label": "Mean of the seeds" });
  return make("div", {}, table, make("h3", {}, "Mean of the seeds, aligned to the best in sign and time"), canvas);
}

/** Draw the mean of the seeds, once it is on the page and its room is known. */
function drawMean(dialog, run) {
  const canvas = dialog.querySelector("canvas.mean");
  if (!canvas) return;
  const mean = { ...run, response: undefined, ...cellOfRun(run).picture },
    width = Math.min(canvas.parentElement.clientWidth, 560);
  drawSpatial(canvas, mean, picturesOf(mean), width, 190, { gap: 10 });
}
