// --- main: put it together ---

function renderControls() {
  for (const field of ["query", "min", "max", ...Object.keys(SELECTS)]) {
    if ($(field) !== document.activeElement || $(field).tagName === "SELECT") $(field).value = state[field];
  }
  $("sort").value = sortingOf().key;
  $("seeds").checked = state.seeds !== "apart";
  $("direction").textContent = isDown() ? "↓" : "↑";
  $("direction").setAttribute("aria-label", isDown() ? "Falling; make it rising" : "Rising; make it falling");
  $("direction").title = isDown() ? "largest or last first" : "smallest or first first";
  $("reset").hidden = !isFiltered();
}

/** Show the state. */
function render() {
  renderControls();
  renderGallery();
  renderTray();
  const run = byName.get(state.run),
    pair = state.compare.map((name) => byName.get(name));
  if (run) showDetail(run);
  else if ($("detail").open) closeDialog($("detail"));
  if (!run && state.view === "compare" && pair.length === 2) showCompare(pair);
  else if ($("compare").open) closeDialog($("compare"));
  document.title = run ? `${titleOf(run)} – ${report.title}` : report.title;
}

/** Close a dialog and let go of its videos; the focus returns to the card. */
function closeDialog(dialog) {
  dialog.querySelectorAll("video").forEach((video) => video.removeAttribute("src"));
  dialog.replaceChildren();
  dialog.close();
}

function fillSelects() {
  const names = { session: "all", type: "all", objective: "all", status: "all" };
  for (const [field, values] of Object.entries(SELECTS)) {
    const counts = new Map();
    runs.forEach((run) =>
      new Set(values(run)).forEach((value) => value && counts.set(value, (counts.get(value) ?? 0) + 1)),
    );
    const collator = new Intl.Collator("en", { numeric: true });
    const options = [...counts]
      .sort(([a], [b]) => collator.compare(a, b))
      .map(([value, count]) => make("option", { value }, `${value} (${count})`));
    $(field).replaceChildren(make("option", { value: "" }, names[field]), ...options);
    $(field).closest("label").hidden = counts.size < 2 && !state[field];
    $(field).onchange = () => change({ [field]: $(field).value });
  }
  $("sort").replaceChildren(...SORTINGS.map(({ key, label }) => make("option", { value: key }, label)));
}

let widthBefore = innerWidth;

function listen() {
  for (const field of ["query", "min", "max"]) $(field).oninput = () => change({ [field]: $(field).value });
  $("controls").onsubmit = (event) => {
    event.preventDefault();
    focusCard(0);
  };
  $("sort").onchange = () => change({ sort: $("sort").value, direction: "" });
  $("direction").onclick = () => change({ direction: isDown() ? "up" : "down" });
  $("seeds").onchange = () => change({ seeds: $("seeds").checked ? "" : "apart" });
  $("reset").onclick = () =>
    change({ query: "", min: "", max: "", ...Object.fromEntries(Object.keys(SELECTS).map((field) => [field, ""])) });
  $("pause").onclick = () => setMoving(!moving);
  $("theme").onclick = toggleTheme;
  $("help").onclick = showKeys;
  $("cards").onclick = onCardClick;
  for (const dialog of [$("detail"), $("compare")]) {
    dialog.addEventListener("cancel", (event) => event.preventDefault() || closeViews()); // Escape
    dialog.onclose = () => !dialog.open && closeViews(); // a browser may close it without asking
    dialog.onclick = (event) => event.target === dialog && closeViews(); // beside it
  }
  $("keys").onclick = (event) => event.target === $("keys") && $("keys").close();
  listenToOverview();
  addEventListener("keydown", onKey);
  addEventListener("popstate", () => {
    readAddress();
    render();
  });
  addEventListener("scroll", () => requestAnimationFrame(placeCards), { passive: true });
  addEventListener("resize", () =>
    requestAnimationFrame(() => {
      placeCards();
      if (innerWidth !== widthBefore) drawAgain();
      widthBefore = innerWidth;
    }),
  );
}

function onCardClick(event) {
  const card = event.target.closest(".card");
  if (!card || event.ctrlKey || event.metaKey || event.shiftKey) return;
  focused = ordered.indexOf(card.run);
  event.preventDefault();
  if (event.target.closest(".mark")) toggleMark(card.run);
  else change({ run: (event.target.closest(".seed") ?? card).run.name }, { entry: true });
}

function start() {
  const count = (status) => runs.filter((run) => run.status === status).length;
  const states = [...new Set(runs.map((run) => run.status))].map((status) => `${count(status)} ${status}`);
  const models = [...new Set(report.setups.map((setup) => setup.model).filter(Boolean))];
  $("title").textContent = report.title;
  $("facts").textContent = [states.join(", "), ...(models.length ? [`model ${models.join(", ")}`] : [])].join("  ·  ");
  const notes = [...new Set(report.setups.map((setup) => setup.note).filter(Boolean))];
  $("note").textContent = notes.join(" ");
  $("note").hidden = notes.length === 0;
  $("downloads").replaceChildren(
    ...report.downloads.map((name) => make("a", { href: `./${name}`, download: name }, name)),
  );
  $("seeds").closest("label").hidden = !hasCells;
  $("findings").append(...report.findings.map((finding) => findingOf(finding, "./")));
  $("findings").hidden = !report.findings.length;
  readAddress();
  fillSelects();
  listen();
  setMoving(moving);
  listenToTheme();
  applyTheme();
  render();
}

start();
