// Draws the view of `probe.widgets.annotator_view`, and sends what the user does to Python, which changes the state.

const SIGN = { sure: "S", possible: "p", head: "H", role: "r" };
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const HELP =
  "Space or click: sure link. p or Shift-click: possible link. h: head of a word. The same again, or Delete: no link. " +
  "n: next chunk without links. Arrow keys, Home, End: move. Enter: save, and go to the next row. " +
  "Page Up, Page Down: previous and next row. Ctrl+Z: undo. Ctrl+Shift+Z: redo. Ctrl+S: save. Pale: filled in for you.";

function heading(token, number, scope) {
  // dir keeps the number left of the token in any script; bdi keeps the direction of the token itself.
  return make("th", { scope, dir: "ltr", "aria-label": token.name }, make("i", {}, `${number}`), make("bdi", {}, token.shown));
}

class Grid {
  constructor(send) {
    this.send = send;
    this.at = [0, 0];
    this.table = make("table", { role: "grid", "aria-label": "student tokens by teacher tokens" });
    this.node = make("div", { class: "probe-grid" }, this.table);
    this.table.addEventListener("click", (event) => this.#click(event));
    this.table.addEventListener("keydown", (event) => this.#key(event));
    this.table.addEventListener("focusin", (event) => this.#mark(event.target));
    this.table.addEventListener("mouseover", (event) => this.#mark(event.target));
  }

  build(view) {
    const top = make("tr", {}, make("td", { class: "probe-corner" }, "student ↓ teacher →"));
    view.teacher.forEach((token, j) => top.append(heading(token, j, "col")));
    const body = view.student.map((student, i) => {
      const line = make("tr", {}, heading(student, i, "row"));
      view.teacher.forEach((_, j) => line.append(make("td", { role: "gridcell", tabindex: "-1", "data-at": `${i},${j}` })));
      return line;
    });
    this.table.replaceChildren(make("thead", {}, top), make("tbody", {}, ...body));
    this.cells = new Map([...this.table.querySelectorAll("[data-at]")].map((cell) => [cell.dataset.at, cell]));
    this.row = view.id;
    this.at = view.open[0] ?? [0, 0];
    this.marked = [];
    this.node.scrollTo(0, 0);
    this.#cell().tabIndex = 0;
  }

  fill(view) {
    this.open = view.open;
    const filled = new Set(view.filled);
    for (const [key, cell] of this.cells) {
      const [i, j] = key.split(",");
      const kind = view.links[key] ?? "";
      const suggested = view.suggested[key] ?? "";
      const more = [filled.has(key) && "filled in", suggested && suggested !== kind && `suggested: ${suggested}`];
      const said = [kind || "no link", ...more.filter(Boolean)].join(", ");
      const label = `${view.student[i].name}, ${view.teacher[j].name}: ${said}`;
      if (cell.title === label) continue;
      cell.title = label;
      cell.setAttribute("aria-label", label);
      cell.textContent = SIGN[kind] ?? "";
      cell.dataset.kind = kind;
      cell.dataset.filled = filled.has(key);
      cell.dataset.suggested = suggested;
    }
  }

  focus() {
    this.#cell().focus();
  }

  #cell() {
    return this.cells.get(this.at.join(","));
  }

  #intent(act, more = {}) {
    // Keys may be typed before a new row is drawn, so say for which row they were meant.
    this.send({ do: act, row: this.row, student: this.at[0], teacher: this.at[1], ...more });
  }

  // The first open chunk that begins behind this cell, or else the first of all.
  #next() {
    const [i, j] = this.at;
    const cell = this.open.find(([a, b]) => a > i || (a === i && b > j)) ?? this.open[0];
    if (cell) this.#move(...cell);
  }

  #move(i, j) {
    const last = [this.table.tBodies[0].rows.length - 1, this.table.tHead.rows[0].cells.length - 2];
    this.#cell().tabIndex = -1;
    this.at = [i, j].map((number, axis) => Math.min(Math.max(number, 0), last[axis]));
    this.#cell().tabIndex = 0;
    this.focus();
  }

  #click(event) {
    const cell = event.target.closest("[data-at]");
    if (!cell) return;
    this.#move(...cell.dataset.at.split(",").map(Number));
    this.#intent("press", { kind: event.shiftKey ? "possible" : "sure" });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [i, j] = this.at;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in ARROWS) this.#move(i + ARROWS[key][0], j + ARROWS[key][1]);
    else if (key === "Home") this.#move(i, 0);
    else if (key === "End") this.#move(i, Infinity);
    else if (key === "PageUp" || key === "PageDown") this.send({ do: "go", by: key === "PageUp" ? -1 : 1 });
    else if (key === "Enter") this.#intent("finish");
    else if (key === " ") this.#intent("press", { kind: "sure" });
    else if (key === "p") this.#intent("press", { kind: "possible" });
    else if (key === "h") this.#intent("head");
    else if (key === "n") this.#next();
    else if (key === "Delete" || key === "Backspace") this.#intent("clear");
    else return;
    event.preventDefault();
  }

  #mark(target) {
    const cell = target.closest?.("[data-at]");
    for (const head of this.marked) head.classList.remove("probe-here");
    this.marked = cell ? [cell.parentElement.cells[0], this.table.tHead.rows[0].cells[cell.cellIndex]] : [];
    for (const head of this.marked) head.classList.add("probe-here");
  }
}

function render({ model, el }) {
  const send = (intent) => model.send(intent);
  const act = (name, more = {}) => () => send({ do: name, ...more });
  const names = `probe-ids-${Math.random().toString(36).slice(2)}`;
  const id = make("input", { type: "text", list: names, "aria-label": "row id", title: "Type the id of a row and press Enter" });
  const ids = make("datalist", { id: names }, ...model.get("ids").map((value) => make("option", { value })));
  const previous = button("◂ Previous", "Previous row (Page Up)", act("go", { by: -1 }));
  const next = button("Next ▸", "Next row (Page Down)", act("go", { by: 1 }));
  const undo = button("Undo", "Undo (Ctrl+Z)", act("undo"));
  const redo = button("Redo", "Redo (Ctrl+Shift+Z)", act("redo"));
  const save = button("Save", "Save to the file (Ctrl+S)", act("save"));
  save.classList.add("probe-save");
  const levels = model.get("view").suggestions.map((value) => make("option", { value }, value));
  const suggest = make("select", { onchange: () => send({ do: "suggest", what: suggest.value }) }, ...levels);
  const progress = make("span", { class: "probe-progress" });
  const text = make("p", { class: "probe-text", dir: "auto" });
  const grid = new Grid(send);
  const tags = make("fieldset", { class: "probe-tags" }, make("legend", {}, "Phenomena"));
  const note = make("textarea", { rows: 2, spellcheck: true, "aria-label": "note", onchange: () => send({ do: "note", note: note.value }) });
  const problems = make("ul", { class: "probe-problems", "aria-label": "findings on this row" });
  const status = make("p", { class: "probe-status", role: "status" });
  id.addEventListener("change", () => send({ do: "jump", id: id.value }));
  // If the id leads to no other row, nothing redraws the field, so reset it here.
  id.addEventListener("blur", () => (id.value = model.get("view").id));

  const root = make(
    "div", { class: "probe-widget probe-annotator", role: "group", "aria-label": "annotator" },
    make("div", { class: "probe-bar" }, previous, id, ids, next, progress),
    text, grid.node,
    make("div", { class: "probe-bar" }, undo, redo, save, make("label", {}, "Suggest ", suggest)),
    status, problems, tags, make("label", { class: "probe-note" }, "Note", note), make("p", { class: "probe-help" }, HELP),
  );

  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    const typing = event.target.matches("textarea, input[type=text]");
    if (key === "s") {
      if (event.target === note) send({ do: "note", note: note.value });
      send({ do: "save" });
    } else if (key === "z" && !typing) send({ do: event.shiftKey ? "redo" : "undo" });
    else return;
    event.preventDefault();
  });

  let shown = null;
  function draw() {
    const view = model.get("view");
    const other = shown !== view.id;
    const inGrid = grid.node.contains(document.activeElement);
    if (other) grid.build(view);
    grid.fill(view);
    if (other && inGrid) grid.focus();
    shown = view.id;
    id.value = view.id;
    text.textContent = view.text;
    progress.textContent = `${view.pair} · ${view.progress}`;
    for (const [node, off] of [[previous, view.first], [next, view.last], [undo, !view.undo], [redo, !view.redo]]) node.disabled = off;
    save.classList.toggle("probe-unsaved", view.unsaved);
    suggest.value = view.suggest;
    const boxes = Object.entries(view.phenomena).map(([tag, checked]) => {
      const box = tags.querySelector(`[name="${tag}"]`) ?? make("input", { type: "checkbox", name: tag, onchange: act("tag", { tag }) });
      box.checked = checked;
      return box;
    });
    if (tags.children.length === 1) tags.append(...boxes.map((box) => make("label", {}, box, ` ${box.name}`)));
    if (other || document.activeElement !== note) note.value = view.note;
    problems.replaceChildren(...view.problems.map((problem) => make("li", {}, problem)));
    status.textContent = view.message;
    status.classList.toggle("probe-refused", view.refused);
  }
  draw();
  model.on("change:view", draw);
  el.append(root);
  return () => model.off("change:view", draw);
}

export default { render };
