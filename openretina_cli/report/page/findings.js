// --- findings: what verbs found on finished runs, each with a picture, a table and its files ---

/** A finding of the folder at an address; what it says is text, and its files are links. */
function findingOf(finding, address) {
  const names = [finding.picture, ...finding.files].filter(Boolean);
  const links = names.map((name) => make("li", {}, make("a", { href: address + name }, name)));
  return make(
    "details",
    { className: "finding", open: address !== "./" },
    make("summary", {}, make("b", {}, `${finding.title}: `), finding.text),
    finding.picture ? findingPicture(finding, address) : null,
    findingTable(finding.table),
    make("ul", { className: "files" }, ...links),
  );
}

function findingPicture(finding, address) {
  const url = address + finding.picture;
  const image = make("img", { src: url, loading: "lazy", alt: `${finding.title}: ${finding.text}` });
  const link = make("a", { href: url, title: "Open the picture alone" }, image);
  image.addEventListener("error", () => link.remove());
  return link;
}

function findingTable([header, ...rows]) {
  if (!header) return null;
  const row = (texts, tags) => make("tr", {}, ...texts.map((text, place) => make(tags(place), {}, text)));
  const body = rows.map((texts) => row(texts, (place) => (place ? "td" : "th")));
  const head = row(header, () => "th");
  return make("table", { className: "finding" }, make("thead", {}, head), make("tbody", {}, ...body));
}
