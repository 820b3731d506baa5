// --- findings: what verbs found on finished runs, each with a picture, a table and its files ---

/** A finding of the folder at an address; what it says is text, and its files are links. */
function findingOf(finding, address) {
  const [header, ...rows] = finding.table;
  const cells = (row, tag) => make("tr", {}, ...row.map((text, place) => make(place ? "td" : tag, {}, text)));
  const table = header
    ? make("table", { className: "finding" }, make("thead", {}, cells(header, "th")), make("tbody", {}, ...rows.map((row) => cells(row, "th"))))
    : null;
  const names = [finding.picture, ...finding.files].filter(Boolean);
  const links = names.map((name) => make("li", {}, make("a", { href: address + name }, name)));
  const inside = [finding.picture ? findingPicture(finding, address) : null, table, make("ul", { className: "files" }, ...links)];
  return make("details", { className: "finding", open: address !== "./" }, make("summary", {}, make("b", {}, finding.title), ` ${finding.text}`), ...inside);
}

function findingPicture(finding, address) {
  const url = address + finding.picture;
  const image = make("img", { src: url, loading: "lazy", alt: `${finding.title}: ${finding.text}` });
  const link = make("a", { href: url, title: "Open the picture alone" }, image);
  image.addEventListener("error", () => link.remove());
  return link;
}
