// --- gallery: only the cards near the screen exist, so that thousands of runs scroll as smoothly as ten ---

const CARD = { height: 388 + (hasSecondLine ? 17 : 0) + (hasCells ? STRIP : 0), least: 290, gap: 16, spare: 1 };
const PRINTED = { width: 344, height: 228 + (hasSecondLine ? 17 : 0), edge: 68, most: 1000 }; // eight to a page of A4
const shown = new Map(); // run -> its card
let ordered = [],
  columns = 1,
  focused = 0,
  fulfilled = null,
  moving = !matchMedia("(prefers-reduced-motion: reduce)").matches,
  printing = false;

// A video is loaded when it comes near the screen, and let go when it is far, so that few are decoded at a time.
const nearScreen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !target.getAttribute("src")) {
        target.src = target.dataset.source;
        if (moving) target.play().catch(() => {}); // a browser may refuse to play by itself; the first frame shows
      } else if (!isIntersecting && target.getAttribute("src")) {
        target.removeAttribute("src");
        target.load();
      }
    }
  },
  { rootMargin: "200px" },
);

const columnsFor = (width) => Math.max(1, Math.floor((width + CARD.gap) / (CARD.least + CARD.gap)));

/** Show the runs that pass the filters, and which are marked. */
function renderGallery() {
  const wish = JSON.stringify(
    [...Object.keys(SELECTS), "query", "min", "max", "sort", "direction", "seeds"].map((field) => state[field]),
  );
  if (wish !== fulfilled) {
    if (fulfilled !== null) {
      // another order begins at its first card
      focused = 0;
      if (scrollY > $("gallery").offsetTop) scrollTo(0, $("gallery").offsetTop);
    }
    rebuildGallery();
  }
  fulfilled = wish;
  drawOverview();
  for (const [run, card] of shown) card.querySelector(".mark").setAttribute("aria-pressed", String(isMarked(run)));
}

function rebuildGallery() {
  const passing = visibleRuns();
  ordered = cardRuns(passing);
  focused = Math.min(focused, Math.max(ordered.length - 1, 0));
  $("count").textContent = countOf(passing);
  if (printing && ordered.length > PRINTED.most) $("count").textContent += `, the first ${PRINTED.most} printed`;
  $("nothing").hidden = ordered.length > 0;
  for (const card of shown.values()) dropCard(card);
  shown.clear();
  placeCards();
}

function dropCard(card) {
  card.querySelectorAll("video").forEach((video) => {
    nearScreen.unobserve(video);
    video.removeAttribute("src");
    video.load();
  });
  card.remove();
}

/** Make the cards that are near the screen, drop those that are not. */
function placeCards() {
  const area = $("cards");
  columns = columnsFor(area.clientWidth);
  const pitch = CARD.height + CARD.gap,
    rows = Math.ceil(ordered.length / columns);
  area.style.height = printing ? "" : `${Math.max(rows * pitch - CARD.gap, 0)}px`;
  const above = -area.getBoundingClientRect().top;
  const first = printing ? 0 : Math.max(0, Math.floor(above / pitch) - CARD.spare) * columns;
  const last = printing ? PRINTED.most : (Math.ceil((above + innerHeight) / pitch) + CARD.spare) * columns;
  const wanted = new Set(ordered.slice(first, Math.max(last, 0)));
  for (const [run, card] of shown) {
    if (wanted.has(run) || card.contains(document.activeElement)) continue;
    dropCard(card);
    shown.delete(run);
  }
  const width = printing ? PRINTED.width : (area.clientWidth - (columns - 1) * CARD.gap) / columns;
  let before = null;
  for (const run of wanted) before = placeCard(run, ordered.indexOf(run), width, before);
}

function placeCard(run, place, width, before) {
  let card = shown.get(run);
  if (!card || card.width !== width) {
    const had = card?.contains(document.activeElement);
    card?.remove();
    card = cardOf(run, place, width);
    shown.set(run, card);
    if (before) before.after(card);
    else $("cards").prepend(card);
    finishCard(card, run, width);
    if (had) card.querySelector("a").focus();
  }
  const row = Math.floor(place / columns),
    column = place % columns;
  card.style.transform = `translate(${column * (width + CARD.gap)}px, ${row * (CARD.height + CARD.gap)}px)`;
  return card;
}

function cardOf(run, place, width) {
  const title = make(
    "a",
    { href: addressOf({ run: run.name }), tabindex: place === focused ? "0" : "-1" },
    titleOf(run),
  );
  const mark = make("button", {
    type: "button",
    className: "mark",
    tabindex: place === focused ? "0" : "-1",
    title: "Mark for comparison (c)",
    "aria-pressed": String(isMarked(run)),
    "aria-label": `Compare ${titleOf(run)}`,
  });
  const card = make(
    "article",
    {
      className: `card ${run.status}`,
      role: "listitem",
      title: run.name,
      "aria-setsize": String(ordered.length),
      "aria-posinset": String(place + 1),
    },
    make(
      "header",
      {},
      make(
        "div",
        {},
        make("h2", {}, title),
        make("p", {}, placeOf(run) || (neuronLabel(run) ? run.name : "")),
        hasSecondLine ? make("p", {}, showsTogether(run) ? seedsLine(run) : variantOf(run)) : "",
      ),
      mark,
    ),
    make("div", { className: "look" }),
    hasCells && !printing ? seedStrip(run) : null,
    make("footer", {}, ...cardFooter(run)),
  );
  card.style.width = `${width}px`;
  card.style.height = `${printing ? PRINTED.height : CARD.height}px`;
  card.width = width;
  card.run = run;
  return card;
}

function cardFooter(run) {
  const chips = [
    run.warnings.length ? make("span", { className: "chip warning", title: run.warnings.join("\n") }, "warning") : null,
    run.status === "completed" ? null : statusChip(run),
    run.kind ? make("span", { className: "chip" }, run.kind) : null,
    naturalChip(run),
  ].filter(Boolean);
  const score = isNumber(run.final)
    ? scoreOf(run)
    : make("p", { className: "score" }, isNumber(run.seed) ? `seed ${run.seed}` : "");
  return [
    make("div", {}, score, make("p", { className: "chips" }, ...chips)),
    make("p", { className: "numbers" }, ...runNumbers(run)),
  ];
}

/** Per channel: polarity, centre frequency, explained variance. */
function runNumbers(run) {
  return run.setup.channels
    .map((channel, index) => {
      const { variance, frequency, polarity } = numbersOf(run, index);
      if (!polarity) return null;
      const count = run.setup.channels.length; // of many channels less is said of each
      const texts = [
        polarity.toUpperCase(),
        isNumber(frequency) && count < 4 ? `${format(frequency, 2)} Hz` : "",
        isNumber(variance) && count < 3 ? `${format(100 * variance, 2)} %` : "",
      ];
      const swatch = make("i", { className: "swatch" });
      swatch.style.borderTop = `2px ${["solid", "dashed", "dotted"][index] ?? "solid"} ${lineColor(channel.color)}`;
      return make(
        "span",
        { title: `${channel.name}: polarity, centre frequency, explained variance` },
        swatch,
        make("span", { className: "unseen" }, `${channel.name}: `),
        texts.filter(Boolean).join(" · "),
      );
    })
    .filter(Boolean);
}

/** Draw what needs the card's size. */
function finishCard(card, run, width) {
  const look = card.querySelector(".look"),
    pictures = picturesOf(run);
  if (!pictures) {
    look.append(make("p", { className: "error" }, run.error || "no stimulus"));
    return;
  }
  if (run.error) look.append(make("p", { className: "error line", title: run.error }, run.error));
  const names = run.setup.channels.map((channel) => channel.name).join(", ");
  const canvas = make("canvas", { className: "spatial", role: "img", "aria-label": `Spatial component of ${names}` });
  const traces = make("canvas", { className: "traces", role: "img", "aria-label": tracesLabel(run) });
  const row = make("div", { className: "row" }, canvas),
    inner = Math.floor(width - 34);
  look.append(row, traces);
  if (printing) {
    row.append(traces);
    drawPrinted(canvas, traces, run, pictures, inner);
    return;
  }
  const videos = hasFile(run, "stimulus.mp4") ? 1 : 0,
    count = pictures.channels.length + videos;
  // the video and the pictures are of one size
  const edge = Math.min((inner - 10 * (count - 1)) / count, (102 * pictures.columns) / pictures.rows);
  const height = pictureHeight(pictures, edge);
  if (videos) row.prepend(cardVideo(run, edge));
  drawSpatial(canvas, run, pictures, inner - videos * (edge + 10), height, { gap: 10 });
  drawTraces(traces, run, pictures, inner, look.clientHeight - height - 8 - (run.error ? 24 : 0));
}

const pictureHeight = (pictures, edge) =>
  Math.round((edge * pictures.rows) / pictures.columns) + PICTURE.above + PICTURE.below;

/** On paper, which plays no video, the traces stand beside the pictures. */
function drawPrinted(canvas, traces, run, pictures, inner) {
  const count = pictures.channels.length,
    edge = Math.min(PRINTED.edge, (inner * 0.5) / count - 8, (80 * pictures.columns) / pictures.rows);
  const width = Math.ceil(count * (edge + 8)),
    height = 107;
  drawSpatial(canvas, run, pictures, width, height, { gap: 8 });
  drawTraces(traces, run, pictures, inner - width - 10, height);
}

function cardVideo(run, width) {
  const video = videoOf(run, { tabindex: "-1" }, () => make("span", { className: "gone" }, "no video"));
  video.dataset.source = fileUrl(run, "stimulus.mp4");
  video.style.width = `${width}px`;
  nearScreen.observe(video);
  return video;
}

const tracesLabel = (run) =>
  `Temporal components and response over ${run.setup.frameRate ? "seconds" : "frames"}${run.setup.window ? ", optimised window shaded" : ""}`;

/** Move the keyboard's place to a card, and onto the screen. */
function focusCard(place) {
  if (!ordered.length) return;
  const previous = shown.get(ordered[focused]);
  previous?.querySelectorAll("[tabindex]:not(video)").forEach((element) => element.setAttribute("tabindex", "-1"));
  focused = Math.min(Math.max(place, 0), ordered.length - 1);
  const pitch = CARD.height + CARD.gap,
    top = $("cards").getBoundingClientRect().top + Math.floor(focused / columns) * pitch;
  if (top < 8) scrollBy(0, top - 8);
  else if (top + CARD.height > innerHeight - 8) scrollBy(0, top + CARD.height - innerHeight + 8);
  placeCards();
  const card = shown.get(ordered[focused]);
  card.querySelectorAll("[tabindex]:not(video)").forEach((element) => element.setAttribute("tabindex", "0"));
  card.querySelector("a").focus({ preventScroll: true });
}

/** Play or pause every video. */
function setMoving(value) {
  moving = value;
  document.querySelectorAll("video[src]").forEach((video) => (moving ? video.play().catch(() => {}) : video.pause()));
  $("pause").textContent = moving ? "Pause videos" : "Play videos";
  $("pause").setAttribute("aria-pressed", String(!moving));
}
