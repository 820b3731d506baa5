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
    const [low, high, variance, frequency, polarity] = run.numbers[index] ?? [];
    return [
      [`${channel.name}: polarity`, polarity ? polarity.toUpperCase() : ""],
      [`${channel.name}: centre frequency`, isNumber(frequency) ? `${format(frequency)} Hz` : ""],
      [`${channel.name}: explained variance`, isNumber(variance) ? `${format(100 * variance)} %` : ""],
      [`${channel.name}: range`, isNumber(low) ? `${format(low)} to ${format(high)} s.d.` : ""],
    ];
  });
}

/** The facts of a run, `[name, value]`. */
function resultRows(run) {
  const { setup } = run;
  return [
    ["objective", run.objective],
    ["before", isNumber(run.initial) ? format(run.initial, 5) : ""],
    ["after", isNumber(run.final) ? format(run.final, 5) : ""],
    ["best seen", isNumber(run.best) ? format(run.best, 5) : ""],
    ["gain (after − before)", isNumber(gain(run)) ? format(gain(run), 5) : ""],
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
