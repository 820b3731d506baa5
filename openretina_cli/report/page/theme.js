// --- theme: light, dark, and paper; what is drawn has to be drawn again in each ---

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

/** What the button chose before, or the system's wish. */
function chosenTheme() {
  try {
    return localStorage.getItem("openretina-theme") || (darkSystem.matches ? "dark" : "light");
  } catch {
    return darkSystem.matches ? "dark" : "light"; // a page from a disk may keep nothing
  }
}

function toggleTheme() {
  const next = colors.dark ? "light" : "dark";
  try {
    localStorage.setItem("openretina-theme", next);
  } catch {
    // it holds until the page is closed
  }
  applyTheme(next);
}

function applyTheme(theme = chosenTheme()) {
  document.documentElement.dataset.theme = theme;
  readColors();
  $("theme").textContent = colors.dark ? "Light" : "Dark";
  rebuildGallery();
  drawAgain();
}

/** Draw what does not lie in a card again. */
function drawAgain() {
  drawOverview();
  if (state.run || state.view) render();
}

/** All cards in the flow of the page, without videos, in the colours of paper. */
function setPrinting(value) {
  printing = value;
  applyTheme(value ? "light" : chosenTheme());
}

function listenToTheme() {
  darkSystem.addEventListener("change", () => applyTheme());
  addEventListener("beforeprint", () => setPrinting(true));
  addEventListener("afterprint", () => setPrinting(false));
}
