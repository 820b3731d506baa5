// --- overview: every run that is shown as a dot, in its order; a click leads to its card ---

const OVERVIEW = { height: 92, left: 46, right: 6, top: 18, bottom: 8, least: 8 };

/** What the dots show: what the runs are sorted by where that is a number, else the objective. */
function overviewMeasure() {
  const sorting = sortingOf();
  const numeric = runs.some((run) => isNumber(sorting.value(run))) && sorting.key !== "name";
  return numeric ? sorting : SORTINGS.find(({ key }) => key === "final");
}

function drawOverview() {
  const canvas = $("overview"),
    measure = overviewMeasure(),
    values = ordered.map(measure.value);
  const known = values.filter(isNumber);
  canvas.hidden = printing || known.length < OVERVIEW.least;
  if (canvas.hidden) return;
  const width = $("cards").clientWidth,
    context = contextOf(canvas, width, OVERVIEW.height);
  const low = known.reduce((a, b) => Math.min(a, b)),
    high = known.reduce((a, b) => Math.max(a, b));
  const { x, y } = overviewScales(width, low, high);
  canvas.setAttribute(
    "aria-label",
    `${measure.label} of ${known.length} runs in their order, ${format(low)} to ${format(high)}`,
  );
  context.fillStyle = colors.text;
  context.fillText(measure.label, OVERVIEW.left, 11);
  context.fillStyle = colors.muted;
  context.strokeStyle = colors.faint;
  context.textAlign = "right";
  for (const value of ticks(low, high, 3)) {
    line(context, OVERVIEW.left, y(value), width, y(value));
    context.fillText(format(value), OVERVIEW.left - 6, y(value) + 4);
  }
  drawDots(context, values, x, y);
}

function overviewScales(width, low, high) {
  const { left, right, top, bottom, height } = OVERVIEW,
    room = (high - low || Math.abs(high) || 1) * 0.05;
  return {
    x: (place) => left + ((place + 0.5) / ordered.length) * (width - left - right),
    y: (value) => height - bottom - ((value - low + room) / (high - low + 2 * room)) * (height - top - bottom),
  };
}

/** A dot per run, small and faint where there are many; a run without a value is a tick at the foot. */
function drawDots(context, values, x, y) {
  const size = Math.min(Math.max(900 / values.length, 1.4), 3.2);
  const marked = new Set(state.compare);
  values.forEach((value, place) => {
    const isBad = ordered[place].status !== "completed",
      chosen = marked.has(ordered[place].name);
    context.fillStyle = chosen ? colors.accent : isBad ? colors.bad : colors.trace;
    context.globalAlpha = chosen || isBad ? 1 : 0.62;
    context.beginPath();
    if (isNumber(value)) context.arc(x(place), y(value), chosen ? size + 1.5 : size, 0, 2 * Math.PI);
    else context.rect(x(place) - 1, OVERVIEW.height - 5, 2, 5);
    context.fill();
  });
  context.globalAlpha = 1;
}

/** The run whose dot is nearest to the pointer, by its place in the order. */
function placeUnder(event) {
  const width = $("cards").clientWidth - OVERVIEW.left - OVERVIEW.right;
  const place = Math.floor(((event.offsetX - OVERVIEW.left) / width) * ordered.length);
  return Math.min(Math.max(place, 0), ordered.length - 1);
}

function listenToOverview() {
  $("overview").onpointermove = (event) => {
    const run = ordered[placeUnder(event)],
      value = overviewMeasure().value(run);
    const title = run.name === titleOf(run) ? run.name : `${titleOf(run)} (${run.name})`;
    $("overview").title = `${title}: ${isNumber(value) ? format(value) : run.status}`;
  };
  $("overview").onclick = (event) => focusCard(placeUnder(event));
}
