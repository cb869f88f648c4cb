// Sorts, narrows and opens the sentences. Every sentence is set as text: nothing of a gold file becomes markup.

const LEVELS = 1000;
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const maps = JSON.parse(document.getElementById("maps").textContent);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// The heatmap of a sentence

function label(map, i, j) {
  const links = [["sure", "sure link"], ["possible", "possible link"]].filter(([kind]) => map[kind].some(([s, t]) => s === i && t === j));
  const marks = [...links.map(([, said]) => said), ...(map.largest[i].includes(j) ? ["largest in its row"] : [])];
  const weight = (map.weights[i][j] / LEVELS).toFixed(3);
  // Isolated, so that a token written from right to left leaves the rest of the line in its place.
  return [`student ${i} ‘\u2068${map.student[i]}\u2069’, teacher ${j} ‘\u2068${map.teacher[j]}\u2069’: ${weight}`, ...marks].join(", ");
}

function grid(map, name) {
  const top = make("tr", {}, make("td", { class: "corner" }, "student ↓ teacher →"));
  for (const token of map.teacher) top.append(make("th", { scope: "col", dir: "ltr" }, make("bdi", {}, token)));
  const body = make("tbody");
  map.student.forEach((token, i) => {
    const line = make("tr", {}, make("th", { scope: "row", dir: "ltr" }, make("bdi", {}, token)));
    map.teacher.forEach((_, j) => {
      const cell = make("td", { role: "gridcell", tabindex: "-1", "data-at": `${i},${j}`, "aria-label": label(map, i, j) });
      cell.style.setProperty("--w", map.weights[i][j] / LEVELS);
      line.append(cell);
    });
    for (const j of map.largest[i]) line.cells[j + 1].dataset.largest = "";
    body.append(line);
  });
  for (const kind of ["possible", "sure"]) for (const [i, j] of map[kind]) body.rows[i].cells[j + 1].dataset.link = kind;
  body.rows[0].cells[1].tabIndex = 0;
  const table = make("table", { role: "grid", "aria-label": `attention of ${name}: student targets by teacher targets` }, make("thead", {}, top), body);
  table.style.setProperty("--columns", map.teacher.length);
  return table;
}

function key(map) {
  const sign = (kind, said) => make("span", {}, make("i", { class: kind }), said);
  const parts = [sign("dot", "largest in its row"), sign("sure", "sure link")];
  if (map.possible.length) parts.push(sign("possible", "possible link"));
  return make("p", { class: "key" }, make("span", {}, "weight 0", make("i", { class: "scale" }), "1; each row sums to 1"), ...parts);
}

function heatmap(map, name) {
  const table = grid(map, name);
  const readout = make("p", { class: "readout", role: "status" }, "Point at a cell, or move with the arrow keys.");
  let marked = [];
  function mark(event) {
    const cell = event.target.closest("[data-at]");
    if (!cell) return;
    for (const head of marked) head.classList.remove("here");
    marked = [cell.parentElement.cells[0], table.tHead.rows[0].cells[cell.cellIndex]];
    for (const head of marked) head.classList.add("here");
    readout.textContent = cell.ariaLabel;
    cell.title = cell.ariaLabel;
  }
  function move(event) {
    const cell = event.target.closest("[data-at]");
    const step = ARROWS[event.key];
    if (!cell || !step) return;
    const next = table.tBodies[0].rows[cell.parentElement.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
    if (next?.dataset.at) {
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
    event.preventDefault();
  }
  table.addEventListener("mouseover", mark);
  table.addEventListener("focusin", mark);
  table.addEventListener("click", mark);
  table.addEventListener("keydown", move);
  const reading =
    "Indexed by targets: the row of a student token is the position that predicts it, and its columns are teacher targets. " +
    "The last row and column are the end of the sequence.";
  return [readout, make("div", { class: "map" }, table), key(map), make("p", {}, reading)];
}

// The list of sentences

function toggle(row) {
  const button = row.querySelector("button");
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", `${open}`);
  let detail = document.getElementById(button.getAttribute("aria-controls"));
  if (!detail) {
    const [section, number] = row.dataset.map.split(",");
    const cell = make("td", { colspan: `${row.cells.length}` }, ...heatmap(maps[section][number], row.dataset.id));
    detail = make("tr", { class: "opened", id: button.getAttribute("aria-controls") }, cell);
    row.after(detail);
  }
  detail.hidden = !open;
}

function details(row) {
  return row.nextElementSibling?.classList.contains("opened") ? [row, row.nextElementSibling] : [row];
}

function sort(table, head) {
  const field = head.dataset.key;
  const way = head.ariaSort === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.rows[0].cells) other.ariaSort = other === head ? way : "none";
  const sign = way === "ascending" ? 1 : -1;
  const value = (row) => row.dataset[field];
  const known = (row) => field === "id" || !Number.isNaN(Number(value(row)));
  const compare = (a, b) =>
    field === "id" ? sign * value(a).localeCompare(value(b), "en", { numeric: true })
    : known(a) !== known(b) ? (known(a) ? -1 : 1) // what has no figure stays at the end
    : known(a) ? sign * (Number(value(a)) - Number(value(b))) : 0;
  const rows = [...table.querySelectorAll("tr[data-map]")].sort(compare);
  table.tBodies[0].append(...rows.flatMap(details));
}

function narrow(table, form) {
  const words = form.elements.text.value.toLowerCase().trim();
  const tag = form.elements.phenomenon.value;
  const rows = [...table.querySelectorAll("tr[data-map]")];
  let shown = 0;
  for (const row of rows) {
    const text = `${row.dataset.id} ${row.querySelector("bdi").textContent}`.toLowerCase();
    row.hidden = !text.includes(words) || (tag !== "" && !row.dataset.phenomena.split(" ").includes(tag));
    shown += !row.hidden;
    const [, detail] = details(row);
    if (detail) detail.hidden = row.hidden || row.querySelector("button").getAttribute("aria-expanded") !== "true";
  }
  form.elements.count.value = `${shown} of ${rows.length} sentences`;
}

function start(section) {
  const [table, form] = [section.querySelector(".sentences"), section.querySelector(".controls")];
  for (const head of table.tHead.rows[0].cells) {
    head.replaceChildren(make("button", { type: "button", onclick: () => sort(table, head) }, head.textContent));
  }
  for (const row of table.querySelectorAll("tr[data-map]")) {
    const id = row.querySelector("b");
    const controls = `map-${row.dataset.map.replace(",", "-")}`;
    id.replaceChildren(make("button", { type: "button", "aria-expanded": "false", "aria-controls": controls }, id.textContent));
    // The whole row opens, except where text is being selected.
    row.addEventListener("click", (event) => (event.target.closest("button") || getSelection().isCollapsed) && toggle(row));
  }
  form.addEventListener("input", () => narrow(table, form));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  narrow(table, form);
}

const sections = [...document.querySelectorAll(".report")];
sections.filter((section) => section.querySelector(".sentences")).forEach(start);
if (sections.length > 1) {
  const nav = document.querySelector("nav");
  nav.hidden = false;
  for (const section of sections) nav.append(make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent));
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((node) => (node.open = true)));
