// --- parts: elements made without HTML text, so that no name can become markup ---

const $ = (id) => document.getElementById(id);

/** An element with properties (`on...` listeners, `data-` and `aria-` attributes too) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (/^(aria-|data-|role$|for$|tabindex$|scope$|colspan$)/.test(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const button = (text, properties) => make("button", { type: "button", ...properties }, text);

const closeButton = (onclick) =>
  button("×", { className: "close", onclick, title: "Close (Escape)", "aria-label": "Close" });

/** A table of names and values; a value may be an element. */
function factTable(caption, rows) {
  const body = rows
    .filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
  return body.length
    ? make("table", { className: "facts" }, make("caption", {}, caption), make("tbody", {}, ...body))
    : null;
}

/** The percentile among natural clips, where it was asked for. */
function naturalChip(run) {
  if (!run.natural.length) return null;
  const title = `drives the model more than ${format(run.natural[0], 4)} % of ${run.natural[2]} natural clips`;
  return make("span", { className: "chip", title }, `natural ${format(run.natural[0], 3)} %`);
}

function statusChip(run) {
  return make("span", { className: `chip ${run.status}` }, run.status);
}

/** What happened to the objective. */
function scoreOf(run) {
  return make(
    "p",
    { className: "score", title: `${run.objective}: before → after` },
    make("span", {}, `${format(run.initial)} → `),
    make("b", {}, format(run.final)),
  );
}

/** Where a run's neuron is, and what it is. */
const placeOf = (run) => [run.session, ...run.types].filter(Boolean).join(" · ");

const severalSeeds = new Set(runs.map((run) => run.seed).filter(isNumber)).size > 1;

/** What else tells a run from the others: its seed, and the settings that differ. */
function variantOf(run) {
  const differing = settingsOf(run).filter(
    ([name]) => report.varying.includes(name) && !/^(objective\.kind|output\.)/.test(name),
  );
  const settings = differing.slice(0, 3).map(([name, value]) => `${name.split(".").pop()} ${value}`);
  return [severalSeeds && isNumber(run.seed) ? `seed ${run.seed}` : "", ...settings].filter(Boolean).join(" · ");
}

const hasSecondLine = runs.some(variantOf);
const subtitleOf = (run) => [placeOf(run), variantOf(run)].filter(Boolean).join(" · ") || run.name;

/** The numbers of each channel, `[name, value]`. */
function channelRows(run) {
  return run.setup.channels.flatMap((channel, index) => {
    const n = numbersOf(run, index);
    const [right, down] = [n.right, n.down].map((value) => format(value));
    const previous = isNumber(n.previous) ? `, the other sign before at ${format(n.previous)} s` : "";
    return [
      ["polarity", n.polarity ? n.polarity.toUpperCase() : ""],
      ["centre frequency", isNumber(n.frequency) ? `${format(n.frequency)} Hz` : ""],
      ["explained variance", isNumber(n.variance) ? `${format(100 * n.variance)} %` : ""],
      ["range", isNumber(n.low) ? `${format(n.low)} to ${format(n.high)} s.d.` : ""],
      ["centre diameter (2 sd)", isNumber(n.centre) ? `${format(n.centre)} µm` : ""],
      ["centre, from the middle", isNumber(n.right) ? `${right} µm right, ${down} µm down` : ""],
      ["surround strength", isNumber(n.surround) ? format(n.surround) : ""],
      ["peak", isNumber(n.peak) ? `${format(n.peak)} s${previous}` : ""],
      ["temporal contrast", isNumber(n.contrast) ? `${format(n.contrast)} s.d.` : ""],
    ].map(([name, value]) => [`${channel.name}: ${name}`, value]);
  });
}

/** The facts of a run, `[name, value]`. */
function resultRows(run) {
  const { setup } = run;
  const [percentile, best, clips] = run.natural;
  return [
    ["objective", run.objective],
    ["before", isNumber(run.initial) ? format(run.initial, 5) : ""],
    ["after", isNumber(run.final) ? format(run.final, 5) : ""],
    ["best seen", isNumber(run.best) ? format(run.best, 5) : ""],
    ["gain (after − before)", isNumber(gain(run)) ? format(gain(run), 5) : ""],
    [
      "on single members (mean ± sd)",
      run.members.length ? `${format(run.members[0], 4)} ± ${format(run.members[1])}` : "",
    ],
    [
      "natural clips",
      clips ? `above ${format(percentile, 4)} % of ${clips}, the best of which reaches ${format(best, 4)}` : "",
    ],
    ["colour angle", isNumber(run.colour) ? `${format(run.colour)}°` : ""],
    ["session", run.session],
    ["neurons", run.neurons.join(", ")],
    ["cell type", run.types.join(", ")],
    ["quality (test)", run.quality.map((value) => (isNumber(value) ? format(value, 3) : "unknown")).join(", ")],
    ["seed", isNumber(run.seed) ? String(run.seed) : ""],
    ["iterations", isNumber(run.iterations) ? String(run.iterations) : ""],
    ["stopped by", run.stop ?? ""],
    ["stimulus norm", isNumber(run.norm) ? format(run.norm, 4) : ""],
    ["constraints", setup.constraints.join("; ")],
    ["model", [setup.model, setup.source].filter(Boolean).join(", ")],
    ["frame rate", setup.frameRate ? `${format(setup.frameRate)} Hz` : ""],
    ["pixel size", setup.pixelSize ? `${format(setup.pixelSize)} µm` : ""],
    ["lag", setup.model ? `${setup.lag} frames` : ""],
    ["wall time", isNumber(run.wall) ? `${format(run.wall)} s` : ""],
    ["device", setup.device],
    ["finished", run.finished ?? ""],
    ["versions", setup.versions],
  ];
}

/** Links to a run's folder and to those of its files that are there. */
function fileLinks(run) {
  const names = report.files.filter((name) => hasFile(run, name));
  const links = names.map((name) => make("li", {}, make("a", { href: fileUrl(run, name) }, name)));
  return make("ul", { className: "files" }, make("li", {}, make("a", { href: run.href }, "folder")), ...links);
}

/** A looping video; where it cannot be played, as when its folder is gone, the fallback takes its place. */
function videoOf(run, properties, fallback) {
  const video = make("video", { muted: true, loop: true, playsInline: true, preload: "metadata", ...properties });
  video.setAttribute("aria-label", `Stimulus of ${run.name}`);
  video.addEventListener("error", () => {
    if (video.getAttribute("src") && fallback) video.replaceWith(fallback());
  });
  return video;
}
