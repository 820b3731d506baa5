// --- compare: two runs side by side, on the same scales, with one pointer and one clock ---

function showCompare(pair) {
  const dialog = $("compare"),
    pictures = pair.map(picturesOf);
  const drawn = pictures.filter(Boolean),
    limits = drawn.length ? limitsOf(...drawn) : null;
  const bar = make(
    "header",
    {},
    make("h2", { id: "compare-title" }, "Two runs compared"),
    make(
      "nav",
      {},
      button("⇄ Exchange", {
        onclick: () => change({ compare: [...state.compare].reverse() }),
        title: "Exchange sides",
      }),
      closeButton(closeViews),
    ),
  );
  const sides = pair.map((run) => compareSide(run));
  dialog.replaceChildren(
    bar,
    make("div", { className: "pair" }, ...sides.map((side) => side.element)),
    differences(pair),
  );
  open(dialog);
  const draws = [];
  const follow = (time) => draws.forEach((draw) => draw(time));
  sides.forEach((side, index) => draws.push(fillDrawings(side.drawings, pair[index], pictures[index], limits, follow)));
  together(sides.map((side) => side.video).filter(Boolean));
}

function compareSide(run) {
  const title = make("a", { href: addressOf({ run: run.name, view: "" }) }, titleOf(run));
  const video = hasFile(run, "stimulus.mp4")
    ? videoOf(run, { src: fileUrl(run, "stimulus.mp4"), controls: true })
    : null;
  const drawings = make("div", { className: "drawings" });
  const score = isNumber(run.final) ? scoreOf(run) : null,
    under = subtitleOf(run);
  const top = make(
    "div",
    { className: "top" },
    make("div", {}, make("h3", {}, title), make("p", {}, under), score ?? ""),
    video ?? "",
  );
  return { element: make("section", { "aria-label": run.name }, top, drawings), drawings, video };
}

/** Two videos play, pause and seek as one. */
function together(videos) {
  const [leader, other] = videos;
  if (!leader) return;
  if (other) {
    leader.onplay = () => other.play().catch(() => {});
    leader.onpause = () => other.pause();
    leader.onseeking = () => {
      other.currentTime = leader.currentTime;
    }; // looping seeks to the start
    other.controls = false;
  }
  if (moving) leader.play().catch(() => {});
}

/** Everything that can be said of a run, by name. */
function allRows(run) {
  const settings = settingsOf(run).map(([name, value]) => [`setting ${name}`, value]);
  const fate = [
    ["error", run.error],
    ["warnings", run.warnings.join("; ")],
  ];
  return new Map([
    ["folder", run.name],
    ["status", run.status],
    ...resultRows(run),
    ...channelRows(run),
    ...fate,
    ...settings,
  ]);
}

/** Results and settings of both, what differs in bold; versions and the like only where they differ. */
function differences(pair) {
  const [left, right] = pair.map(allRows);
  const names = [...new Set([...left.keys(), ...right.keys()])];
  const rows = names
    .map((name) => [name, left.get(name) ?? "", right.get(name) ?? ""])
    .filter(([name, a, b]) => (a || b) && (a !== b || !name.startsWith("setting ")))
    .map(([name, a, b]) =>
      make(
        "tr",
        { className: a === b ? "same" : "differs" },
        make("th", { scope: "row" }, name),
        make("td", {}, a || "–"),
        make("td", {}, b || "–"),
      ),
    );
  const head = make(
    "tr",
    {},
    make("th", { scope: "col" }, ""),
    ...pair.map((run) => make("th", { scope: "col" }, titleOf(run))),
  );
  return make(
    "table",
    { className: "facts both" },
    make("caption", {}, "Results, and the settings that differ"),
    make("thead", {}, head),
    make("tbody", {}, ...rows),
  );
}

/** The bar at the bottom that holds the marked runs. */
function renderTray() {
  const pair = state.compare.map((name) => byName.get(name)),
    tray = $("tray");
  tray.hidden = pair.length === 0;
  const names = pair.map((run) =>
    make(
      "span",
      { className: "marked" },
      make("span", { title: run.name }, [titleOf(run), run.kind].filter(Boolean).join(", ")),
      button("×", { "aria-label": `Take ${titleOf(run)} out`, onclick: () => toggleMark(run) }),
    ),
  );
  const hint = pair.length === 1 ? make("span", { className: "hint" }, "mark a second run to compare") : null;
  const go = button("Compare", { className: "primary", disabled: pair.length < 2, onclick: openCompare });
  tray.replaceChildren(...names, ...(hint ? [hint] : []), go);
}

function openCompare() {
  if (state.compare.length === 2) change({ view: "compare", run: "" }, { entry: true });
}
