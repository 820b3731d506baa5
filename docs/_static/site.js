// What scrolls sideways can be reached with the keyboard; what does not scroll is no stop on the way.
function reachScrolling() {
  for (const part of document.querySelectorAll("pre, .table-wrapper")) {
    if (part.scrollWidth > part.clientWidth) part.setAttribute("tabindex", "0");
    else part.removeAttribute("tabindex");
  }
}
addEventListener("load", reachScrolling);
addEventListener("resize", reachScrolling);
