// --- detail: everything about one run ---

function showDetail(run) {
  const dialog = $("detail"),
    pictures = picturesOf(run);
  const bar = make("header", {}, detailHeading(run), detailButtons(run));
  const drawings = make("div", { className: "drawings" });
  const sheet = hasFile(run, "members.png") ? [pictureLink(run, "members.png", "All stimuli of the set")] : [];
  const findings = run.findings.map((finding) => findingOf(finding, run.href));
  const parts = [figureOf(run, drawings), drawings, ...sheet, cellOf(run), ...findings, ...detailTables(run)];
  const main = make("div", { className: "pictures" }, ...parts);
  const side = make("div", { className: "side" }, ...detailSide(run));
  dialog.replaceChildren(bar, make("div", { className: "columns" }, main, side));
  open(dialog);
  if (!hasFile(run, "composition.png")) fillDrawings(drawings, run, pictures);
  drawMean(dialog, run);
}

function detailHeading(run) {
  const where = [run.session, ...run.types, run.name].filter((text) => text && text !== ".").join(" · ");
  return make("div", {}, make("h2", { id: "detail-title" }, titleOf(run)), make("p", {}, where));
}

function detailButtons(run) {
  const place = placeOfCard(run);
  const step = (by) => change({ run: ordered[place + by].name });
  const among =
    place < 0 || ordered.length === 1
      ? []
      : [
          button("←", {
            className: "previous",
            disabled: place === 0,
            onclick: () => step(-1),
            title: "Previous run (←)",
            "aria-label": "Previous run",
          }),
          button("→", {
            className: "next",
            disabled: place === ordered.length - 1,
            onclick: () => step(1),
            title: "Next run (→)",
            "aria-label": "Next run",
          }),
        ];
  const mark =
    runs.length === 1
      ? []
      : [
          button(isMarked(run) ? "Marked" : "Mark to compare", {
            "aria-pressed": String(isMarked(run)),
            onclick: () => toggleMark(run),
            title: "Mark for comparison (c)",
          }),
        ];
  return make("nav", { "aria-label": "Run" }, ...among, ...mark, closeButton(closeViews));
}

/** The figure of the run; where the page was moved away from it, the page draws its own. */
function figureOf(run, drawings) {
  if (!hasFile(run, "composition.png")) return null;
  const link = pictureLink(run, "composition.png", `Composition of the stimulus of ${run.name}`);
  link.firstChild.addEventListener("error", () => fillDrawings(drawings, run, picturesOf(run)));
  return link;
}

/** A picture in the folder of the run, which goes where the page was moved away from it. */
function pictureLink(run, name, alt) {
  const url = fileUrl(run, name);
  const image = make("img", { src: url, alt });
  const link = make("a", { href: url, className: "figure", title: "Open the figure alone" }, image);
  image.addEventListener("error", () => link.remove());
  return link;
}

/** Large drawings with axes, and the values under the pointer. */
function fillDrawings(area, run, pictures, limits = pictures && limitsOf(pictures), follow = null) {
  if (!pictures) {
    area.replaceChildren(make("p", { className: "error" }, run.error || "This run left no stimulus."));
    return () => {};
  }
  const width = Math.max(Math.floor(area.clientWidth), 240);
  const spatial = make("canvas", { role: "img", "aria-label": "Spatial components" });
  const traces = make("canvas", { role: "img", className: "hover", "aria-label": tracesLabel(run) });
  const words = make("p", { className: "readout", "aria-live": "off" }, "point at the traces to read values");
  area.replaceChildren(make("h3", {}, "Spatial component"), spatial, traces, words);
  const edge = Math.min(
    (width - 70) / pictures.channels.length,
    Math.max(260, (100 * pictures.columns) / pictures.rows),
  );
  drawSpatial(
    spatial,
    run,
    pictures,
    width,
    Math.max(Math.round((edge * pictures.rows) / pictures.columns), COLOR_BAR) + 34,
    { bar: true },
  );
  const draw = (cursor) => {
    const axes = drawTraces(traces, run, pictures, width, 320, { limits, labels: true, cursor });
    words.textContent = cursor === null ? "point at the traces to read values" : readout(run, pictures, cursor);
    return axes;
  };
  const { left, right, clock } = draw(null),
    point = follow ?? draw;
  words.hidden = pictures.frames === 1;
  if (words.hidden) return draw;
  traces.onpointermove = (event) => {
    const time = ((event.offsetX - left) / (right - left)) * clock.end;
    point(time >= 0 && time < clock.end ? time : null);
  };
  traces.onpointerleave = () => point(null);
  return draw;
}

function detailTables(run) {
  const differing = settingsOf(run).filter(([name]) => report.varying.includes(name));
  const all = factTable("All settings", settingsOf(run));
  return [
    make(
      "div",
      { className: "tables" },
      factTable("Result", resultRows(run)),
      make(
        "div",
        {},
        factTable("Stimulus", channelRows(run)),
        factTable("Settings that differ between the runs", differing),
        all ? make("details", {}, make("summary", {}, "All settings"), all) : null,
      ),
    ),
  ];
}

function detailSide(run) {
  const video = hasFile(run, "stimulus.mp4")
    ? videoOf(run, { src: fileUrl(run, "stimulus.mp4"), controls: true, autoplay: moving })
    : null;
  return [
    make("p", { className: "chips" }, statusChip(run), run.kind ? make("span", { className: "chip" }, run.kind) : null),
    isNumber(run.final) ? scoreOf(run) : null,
    run.error ? make("p", { className: "error" }, run.error) : null,
    run.remark ? make("p", { className: "remark" }, run.remark) : null,
    ...run.warnings.map((warning) => make("p", { className: "warned" }, `Warning: ${warning}`)),
    run.setup.note ? make("p", { className: "noted" }, run.setup.note) : null,
    video,
    make("h3", {}, "Files"),
    fileLinks(run),
  ].filter(Boolean);
}

/** Show a dialog; one that is open already keeps its place and focus. */
function open(dialog) {
  if (!dialog.open) dialog.showModal();
}

/** Close whatever is open, by way of the address. */
function closeViews() {
  if (state.run || state.view) change({ run: "", view: "" });
}
