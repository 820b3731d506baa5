// --- data: what the report embedded, and what can be asked of a run ---

const report = JSON.parse(document.getElementById("data").textContent);
const runs = report.runs.map((run, index) => ({
  index,
  session: "",
  neurons: [],
  types: [],
  quality: [],
  kind: "",
  objective: "",
  status: "",
  error: "",
  warnings: [],
  numbers: [],
  members: [],
  natural: [],
  findings: [],
  files: 0,
  ...run,
  setup: report.setups[run.setup],
}));
const byName = new Map(runs.map((run) => [run.name, run]));

/** The numbers of a channel of a run, in the order in which the data has them. */
const NUMBERS = [
  "polarity",
  "low",
  "high",
  "variance",
  "frequency",
  "centre",
  "right",
  "down",
  "surround",
  "peak",
  "previous",
  "contrast",
];
const numbersOf = (run, index) =>
  Object.fromEntries(NUMBERS.map((name, place) => [name, run.numbers[index]?.[place] ?? null]));

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const gain = (run) => (isNumber(run.initial) && isNumber(run.final) ? run.final - run.initial : null);
const hasFile = (run, name) => Boolean(run.files & (1 << report.files.indexOf(name)));
const fileUrl = (run, name) => run.href + name;

/** At most `digits` significant digits, a real minus sign, and a dash for what is not known. */
function format(value, digits = 3) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 1e-3 || size >= 1e5)
      ? value.toExponential(digits - 1)
      : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

function neuronLabel(run) {
  if (run.neurons.length === 0) return "";
  if (run.neurons.length === 1) return `neuron ${run.neurons[0]}`;
  const shown = run.neurons.slice(0, 4).join(", ");
  return `neurons ${shown}${run.neurons.length > 4 ? ` … (${run.neurons.length})` : ""}`;
}

/** What a card is called: its neuron, or the folder's name where there is none. */
const titleOf = (run) => neuronLabel(run) || (run.name === "." ? report.title : run.name);

/** All settings of a run, `[name, value]`. */
function settingsOf(run) {
  if (run.settings === null) return [];
  const own = run.settings ?? {};
  return report.settings
    .map(([name, shared], place) => [name, place in own ? own[place] : shared])
    .filter(([, value]) => value !== null);
}

/** The bytes behind a base64 text. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function wholeNumbersOf(text) {
  const view = new DataView(bytesOf(text).buffer);
  return Float64Array.from({ length: view.byteLength / 2 }, (_, index) => view.getInt16(2 * index, true) / 32767);
}

/** Components and response of a run as numbers; decoded when they are drawn, not when the page opens. */
function picturesOf(run) {
  if (!run.spatial) return null;
  const { setup } = run;
  const [rows, columns, block] = run.size;
  const bytes = bytesOf(run.spatial),
    traces = wholeNumbersOf(run.temporal);
  const channels = setup.channels.map((channel, index) => ({
    ...channel,
    spatial: Float64Array.from(
      bytes.subarray(index * rows * columns, (index + 1) * rows * columns),
      (v) => v / 127 - 1,
    ),
    temporal: traces.subarray(index * run.frames, (index + 1) * run.frames).map((v) => v * run.scales[index]),
  }));
  return { rows, columns, block, channels, frames: run.frames, responses: responsesOf(run) };
}

function responsesOf(run) {
  if (!run.response) return [];
  const [low, high] = run.limits;
  const values = wholeNumbersOf(run.response).map((v) => low + ((v + 1) / 2) * (high - low));
  const length = values.length / run.traces.length;
  return run.traces.map((name, index) => ({ name, values: values.subarray(index * length, (index + 1) * length) }));
}

/** What runs can be sorted by. */
function sortings() {
  const channels = [...new Set(report.setups.flatMap((setup) => setup.channels.map((channel) => channel.name)))];
  const number = (run, channel, name) => {
    const place = run.setup.channels.findIndex((c) => c.name === channel);
    return place < 0 ? null : numbersOf(run, place)[name];
  };
  const byChannel = (name, label, down) =>
    channels.map((c) => ({
      key: `${name} ${c}`,
      label: `${label}, ${c}`,
      value: (run) => number(run, c, name),
      down,
    }));
  return [
    { key: "name", label: "name", value: (run) => run.index },
    { key: "neuron", label: "session, neuron", value: (run) => [run.session, run.neurons[0] ?? null, run.index] },
    { key: "final", label: "objective after", value: (run) => run.final, down: true },
    { key: "initial", label: "objective before", value: (run) => run.initial, down: true },
    { key: "gain", label: "gain (after − before)", value: gain, down: true },
    ...byChannel("variance", "explained variance", true),
    ...byChannel("frequency", "centre frequency", false),
    ...byChannel("centre", "centre size", false),
    ...byChannel("surround", "surround strength", true),
    ...byChannel("contrast", "temporal contrast", true),
    { key: "colour", label: "colour angle", value: (run) => run.colour ?? null },
    { key: "members", label: "spread over members", value: (run) => run.members[1] ?? null, down: true },
    { key: "natural", label: "percentile among natural clips", value: (run) => run.natural[0] ?? null, down: true },
    ...seedSortings(),
    { key: "quality", label: "quality of the first neuron", value: (run) => run.quality[0] ?? null, down: true },
    { key: "norm", label: "stimulus norm", value: (run) => run.norm, down: true },
    { key: "iterations", label: "iterations", value: (run) => run.iterations },
    { key: "wall", label: "wall time", value: (run) => run.wall, down: true },
    { key: "finished", label: "when finished", value: (run) => run.finished || null, down: true },
  ];
}

/** Below 0, 0 or above 0 for lists, numbers and texts. */
function compareValues(a, b) {
  if (Array.isArray(a)) {
    for (let place = 0; place < a.length; place += 1) {
      const order = compareKnown(a[place], b[place], 1);
      if (order) return order;
    }
    return 0;
  }
  return a < b ? -1 : Number(a > b);
}

/** Sorts what is not known to the end, in both directions. */
function compareKnown(a, b, sign) {
  const missing = (a === null || a === undefined) - (b === null || b === undefined);
  if (missing || a === null || a === undefined) return missing;
  return sign * compareValues(a, b);
}
