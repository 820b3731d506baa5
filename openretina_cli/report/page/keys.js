// --- keys: everything without a mouse ---

const KEYS = [
  ["← → ↑ ↓", "go from card to card; in a run: the previous, the next"],
  ["Home End", "first, last card"],
  ["Enter", "open the run"],
  ["Escape", "close; leave the filter"],
  ["/", "filter"],
  ["c", "mark the run for comparison"],
  ["x", "compare the two marked runs"],
  ["p", "pause or play all videos"],
  ["t", "light or dark"],
  ["?", "these keys"],
];

function showKeys() {
  const named = (names) => names.split(" ").flatMap((name) => [make("kbd", {}, name), " "]);
  const rows = KEYS.map(([names, text]) =>
    make("tr", {}, make("th", { scope: "row" }, ...named(names)), make("td", {}, text)),
  );
  const close = closeButton(() => $("keys").close());
  $("keys").replaceChildren(
    make("header", {}, make("h2", { id: "keys-title" }, "Keys"), close),
    make("table", {}, make("tbody", {}, ...rows)),
  );
  $("keys").showModal();
}

const isTyping = (target) => target.matches("input:not([type=checkbox]), select, textarea");

/** The run that a key means: the one that is open, else the one whose card has the focus. */
const runOfKey = () => byName.get(state.run) ?? document.activeElement?.closest?.(".card")?.run;

function moveBy(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  const onCard = document.activeElement?.closest?.(".card");
  if (event.key === "Home") focusCard(0);
  else if (event.key === "End") focusCard(ordered.length - 1);
  else focusCard(onCard ? focused + steps[event.key] : focused);
  event.preventDefault();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const detail = $("detail").open,
    other = $("compare").open || $("keys").open;
  const run = runOfKey();
  if (event.key === "?") $("keys").open ? $("keys").close() : showKeys();
  else if (event.key === "t") toggleTheme();
  else if (event.key === "p") setMoving(!moving);
  else if (event.key === "c" && run && !other) toggleMark(run);
  else if (event.key === "x" && !other) openCompare();
  else if (detail && (event.key === "ArrowLeft" || event.key === "ArrowRight") && event.target.tagName !== "VIDEO") {
    document.querySelector(event.key === "ArrowLeft" ? "#detail .previous" : "#detail .next")?.click();
  } else if (detail || other) return;
  else if (event.key === "/") {
    $("query").focus();
    $("query").select();
    event.preventDefault();
  } else if (/^(Arrow|Home$|End$)/.test(event.key)) moveBy(event);
}
