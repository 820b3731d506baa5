// --- state: what is filtered, sorted and opened; kept in the address, so that a link shows the same ---

const SELECTS = {
  session: (run) => [run.session],
  type: (run) => run.types,
  objective: (run) => [run.kind],
  status: (run) => [run.status],
};
const FIELDS = ["query", ...Object.keys(SELECTS), "min", "max", "sort", "direction", "seeds", "run", "view", "compare"];
const SORTINGS = sortings();
const state = {};

const sortingOf = () => SORTINGS.find((sorting) => sorting.key === state.sort) ?? SORTINGS[0];
const isDown = () => (state.direction ? state.direction === "down" : Boolean(sortingOf().down));

/** Take the state from the address; what it does not name is as at first. */
function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  for (const field of FIELDS) state[field] = address.get(field) ?? "";
  state.compare = address
    .getAll("compare")
    .filter((name) => byName.has(name))
    .slice(0, 2);
  if (state.seeds !== "apart") state.seeds = "";
  if (!byName.has(state.run)) state.run = report.single && !location.hash ? runs[0].name : "";
}

/** The address of the present state, with some fields changed. */
function addressOf(changes = {}) {
  const address = new URLSearchParams();
  for (const [field, value] of Object.entries({ ...state, ...changes })) {
    for (const item of [value].flat()) if (item !== "") address.append(field, item);
  }
  return `#${address}`;
}

/** Change the state; what opens a view makes an entry in the browser's history, so that "back" closes it. */
function change(changes, { entry = false } = {}) {
  Object.assign(state, changes);
  if (entry) history.pushState(null, "", addressOf());
  else history.replaceState(null, "", addressOf());
  render();
}

const searchable = new Map();

/** Everything about a run that the text filter looks at. */
function textOf(run) {
  if (!searchable.has(run)) {
    const settings = settingsOf(run)
      .filter(([name]) => report.varying.includes(name))
      .map(([name, value]) => `${name}=${value}`);
    const facts = [
      run.name,
      neuronLabel(run),
      run.session,
      ...run.types,
      run.kind,
      run.objective,
      run.status,
      run.error,
      ...run.warnings,
    ];
    searchable.set(run, [...facts, ...settings].join("\n").toLowerCase());
  }
  return searchable.get(run);
}

/** The runs that pass all filters, in order. */
function visibleRuns() {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const [low, high] = [state.min, state.max].map((text) =>
    text === "" || Number.isNaN(Number(text)) ? null : Number(text),
  );
  const passes = (run) =>
    Object.entries(SELECTS).every(([field, values]) => !state[field] || values(run).includes(state[field])) &&
    (low === null || (isNumber(run.final) && run.final >= low)) &&
    (high === null || (isNumber(run.final) && run.final <= high)) &&
    words.every((word) => textOf(run).includes(word));
  const sorting = sortingOf(),
    sign = isDown() ? -1 : 1;
  return runs
    .filter(passes)
    .map((run) => ({ run, value: sorting.value(run) }))
    .sort((a, b) => compareKnown(a.value, b.value, sign) || a.run.index - b.run.index)
    .map(({ run }) => run);
}

const isFiltered = () => ["query", ...Object.keys(SELECTS), "min", "max"].some((field) => state[field] !== "");
const isMarked = (run) => state.compare.includes(run.name);

/** Mark a run for comparison, or take the mark away; of three marks the oldest goes. */
function toggleMark(run) {
  const others = state.compare.filter((name) => name !== run.name);
  change({ compare: isMarked(run) ? others : [...others, run.name].slice(-2) });
}
