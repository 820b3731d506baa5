// --- plots: traces on the time axis of the stimulus ---

/** Where frames lie on the time axis of a run: in s, or in frames where the rate is not known. */
function clockOf(run, pictures) {
  const rate = run.setup.frameRate || 1;
  const answered = pictures.responses.length ? run.setup.lag + pictures.responses[0].values.length : 0;
  return { rate, unit: run.setup.frameRate ? "s" : "frame", end: Math.max(pictures.frames, answered) / rate };
}

/**
 * Time courses above, responses below, on one time axis with the optimised window shaded through both.
 * `limits` sets the scales, so that two runs can be compared; `cursor` is a time that is pointed at.
 */
function drawTraces(
  canvas,
  run,
  pictures,
  width,
  height,
  { limits = limitsOf(pictures), labels = false, cursor = null } = {},
) {
  const context = contextOf(canvas, width, height),
    clock = clockOf(run, pictures);
  if (pictures.frames === 1) return drawStill(context, pictures, clock);
  const left = labels ? 46 : 34,
    right = width - 6,
    bottom = height - (labels ? 32 : 16);
  const split = pictures.responses.length ? Math.round(bottom * 0.58) : bottom;
  const x = (time) => left + (time / clock.end) * (right - left);
  shadeWindow(context, run, clock, x, bottom);
  drawTimeAxis(context, clock, x, bottom, labels);
  const stimulus = pictures.channels.map((c) => ({ values: c.temporal, color: lineColor(c.color), dash: c.dash }));
  drawPanel(context, stimulus, {
    start: 0,
    clock,
    x,
    top: labels ? 18 : 6,
    bottom: split - 8,
    ...limits.stimulus,
    zero: true,
  });
  if (pictures.responses.length) {
    const responses = pictures.responses.map((r, i) => ({
      values: r.values,
      color: responseColor(i, pictures.responses.length),
    }));
    drawPanel(context, responses, {
      start: run.setup.lag,
      clock,
      x,
      top: split + (labels ? 14 : 4),
      bottom: bottom - 2,
      ...limits.response,
    });
  }
  if (labels) drawTitles(context, pictures, left, split);
  else drawWords(context, pictures, left, split);
  if (cursor !== null) drawCursor(context, x(cursor), bottom);
  return { left, right, clock };
}

const responseColor = (index, count) =>
  count === 1 ? colors.trace : lineColor(report.palette[index % report.palette.length]);

/** The scales of a run's traces: time courses about zero, responses from zero on unless they fall below it. */
function limitsOf(...all) {
  const extreme = (choose, traces) => traces.reduce((found, trace) => trace.reduce((a, b) => choose(a, b), found), 0);
  const courses = all.flatMap((p) => p.channels.map((c) => c.temporal)),
    answers = all.flatMap((p) => p.responses.map((r) => r.values));
  const largest = Math.max(-extreme(Math.min, courses), extreme(Math.max, courses));
  const low = extreme(Math.min, answers),
    high = extreme(Math.max, answers);
  const room = 0.06 * (high - low || 1);
  return {
    stimulus: { low: -1.08 * (largest || 1), high: 1.08 * (largest || 1) },
    response: { low: low < 0 ? low - room : 0, high: high + room },
  };
}

function shadeWindow(context, run, clock, x, bottom) {
  if (!run.setup.window) return;
  const [start, stop] = run.setup.window.map((frame) => x((frame + run.setup.lag) / clock.rate));
  context.fillStyle = colors.window;
  context.fillRect(start, 0, stop - start, bottom);
}

function drawTimeAxis(context, clock, x, bottom, labels) {
  context.strokeStyle = colors.line;
  context.fillStyle = colors.muted;
  line(context, x(0), bottom + 0.5, x(clock.end), bottom + 0.5);
  const times = ticks(0, clock.end, Math.max(Math.floor((x(clock.end) - x(0)) / (labels ? 90 : 55)), 2));
  times.forEach((time, index) => {
    line(context, x(time), bottom, x(time), bottom + 3);
    const last = index === times.length - 1 && !labels;
    context.textAlign = index === 0 ? "left" : x(clock.end) - x(time) < 14 ? "right" : "center";
    context.fillText(last ? `${format(time)} ${clock.unit}` : format(time), x(time), bottom + 13);
  });
  if (labels) {
    context.textAlign = "center";
    context.fillText(
      clock.unit === "s" ? "stimulus time (s)" : "stimulus frame",
      (x(0) + x(clock.end)) / 2,
      bottom + 27,
    );
  }
}

/** One axis with lines that are flat while a frame lasts, as the stimulus on a screen is. */
function drawPanel(context, traces, { start, clock, x, top, bottom, low, high, zero = false }) {
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  context.fillStyle = colors.muted;
  context.strokeStyle = colors.faint;
  context.textAlign = "right";
  for (const value of bottom - top > 90 ? ticks(low, high, 5) : fewTicks(low, high)) {
    line(context, x(0), y(value), x(clock.end), y(value));
    context.fillText(format(value), x(0) - 5, y(value) + 4);
  }
  if (zero) {
    context.strokeStyle = colors.line;
    line(context, x(0), y(0), x(clock.end), y(0));
  }
  context.lineWidth = 1.6;
  context.lineJoin = "round";
  for (const { values, color, dash = [] } of traces) {
    context.strokeStyle = color;
    context.setLineDash(dash.map((length) => length * context.lineWidth));
    context.beginPath();
    values.forEach((value, index) => {
      context.lineTo(x((start + index) / clock.rate), y(value));
      context.lineTo(x((start + index + 1) / clock.rate), y(value));
    });
    context.stroke();
  }
  context.setLineDash([]);
  context.lineWidth = 1;
}

function drawTitles(context, pictures, left, split) {
  const entries = (y, title, items) => {
    context.textAlign = "left";
    context.fillStyle = colors.text;
    context.fillText(title, left, y);
    let place = left + context.measureText(title).width + 14;
    items.forEach(([name, color]) => {
      context.fillStyle = color;
      context.fillText(name, place, y);
      place += context.measureText(name).width + 12;
    });
  };
  entries(
    11,
    "Temporal component (s.d.)",
    pictures.channels.map((c) => [c.name, lineColor(c.color)]),
  );
  if (!pictures.responses.length) return;
  entries(
    split + 8,
    "Response",
    pictures.responses.map((r, i) => [r.name, responseColor(i, pictures.responses.length)]),
  );
}

/** What the two panels of a small drawing show; behind the words the traces shine through faintly. */
function drawWords(context, pictures, left, split) {
  const write = (text, y) => {
    context.globalAlpha = 0.8;
    context.fillStyle = colors.surface;
    context.fillRect(left + 1, y - 10, context.measureText(text).width + 5, 13);
    context.globalAlpha = 1;
    context.fillStyle = colors.muted;
    context.fillText(text, left + 3, y);
  };
  context.textAlign = "left";
  write("stimulus (s.d.)", 12);
  if (pictures.responses.length) write(pictures.responses.length === 1 ? "response" : "responses", split + 14);
}

/** A static image has no time axis; its peak and its responses are numbers. */
function drawStill(context, pictures, clock) {
  const rows = [["static image", colors.muted]];
  pictures.channels.forEach((c) =>
    rows.push([`${c.name}: ${format(c.temporal[0])} s.d. at the peak`, lineColor(c.color)]),
  );
  pictures.responses.forEach((r, index) =>
    rows.push([`response, ${r.name}: ${format(r.values[0])}`, responseColor(index, pictures.responses.length)]),
  );
  context.textAlign = "left";
  rows.forEach(([text, color], index) => {
    context.fillStyle = color;
    context.fillText(text, 0, 14 + 16 * index);
  });
  return { left: 0, right: 1, clock };
}

function drawCursor(context, x, bottom) {
  context.strokeStyle = colors.text;
  context.setLineDash([3, 3]);
  line(context, x, 0, x, bottom);
  context.setLineDash([]);
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** The values of all traces at a time, in words. */
function readout(run, pictures, time) {
  const clock = clockOf(run, pictures),
    frame = Math.floor(time * clock.rate + 1e-9);
  const parts = [clock.unit === "s" ? `${format(time, 3)} s (frame ${frame})` : `frame ${frame}`];
  pictures.channels.forEach(
    (c) => frame < c.temporal.length && parts.push(`${c.name} ${format(c.temporal[frame])} s.d.`),
  );
  const answered = frame - run.setup.lag;
  pictures.responses.forEach(
    (r) => answered >= 0 && answered < r.values.length && parts.push(`${r.name}: ${format(r.values[answered])}`),
  );
  return parts.join("  ·  ");
}
