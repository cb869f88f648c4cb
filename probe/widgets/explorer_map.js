// The heatmap, on a canvas as large as its visible part; with a node for each cell, long sentences would be too slow.

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0] };

function bytesOf(buffer) {
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

class HeatMap {
  constructor(pointed, picked) {
    Object.assign(this, { pointed, picked }); // called with the cell under the pointer, and when a row is picked
    this.at = [0, 0];
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.sheet = make("div", { class: "probe-sheet" }, this.canvas);
    this.node = make("div", {
      class: "probe-map", role: "slider", tabindex: "0", "aria-orientation": "vertical", "aria-valuemin": "0",
      "aria-label": "student token", "data-lm-suppress-shortcuts": "true",
    }, this.sheet);
    this.overview = new Overview(this);
    this.pen = this.canvas.getContext("2d");
    this.node.addEventListener("scroll", () => this.draw());
    this.node.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("pointermove", (event) => this.#point(event));
    this.canvas.addEventListener("pointerleave", () => this.pointed(this.at));
    this.canvas.addEventListener("click", (event) => this.#click(event));
    this.watch = new ResizeObserver(() => this.view && this.draw());
    this.watch.observe(this.node);
  }

  show(view, palette) {
    this.view = view;
    this.rows = view.student.length;
    this.columns = view.teacher.length;
    this.weights = new Float32Array(bytesOf(view.weights));
    this.levels = new Uint8Array(bytesOf(view.levels));
    this.flags = new Uint8Array(bytesOf(view.flags));
    this.at = [clamp(this.at[0], 0, this.rows - 1), clamp(this.at[1], 0, this.columns - 1)];
    this.paint(palette);
  }

  paint(palette) {
    this.palette = palette;
    this.ramp = rampOf(palette.map);
    this.font = `${FONT}px ${getComputedStyle(this.node).fontFamily}`;
    this.pen.font = this.font;
    const label = (head) => ({
      text: short(head.shown), colour: head.tie === null ? palette.ink : palette.ties[head.tie][0],
      mark: head.tie === null ? "" : palette.ties[head.tie][1],
    });
    [this.rowLabels, this.columnLabels] = [this.view.student.map(label), this.view.teacher.map(label)];
    const widths = [this.rowLabels, this.columnLabels].map((side) => side.map((one) => this.pen.measureText(one.text + one.mark).width + FONT));
    const reach = (j) => widths[1][j] * Math.cos(SLANT) - (this.columns - j - 0.5) * CELL;
    this.left = Math.ceil(Math.max(...widths[0], CORNER[0]) + PAD);
    this.top = Math.ceil(Math.max(Math.max(...widths[1]) * Math.sin(SLANT) + PAD, CORNER[1]));
    this.width = this.left + this.columns * CELL + Math.ceil(Math.max(PAD, ...widths[1].map((_, j) => reach(j)))) + PAD;
    this.height = this.top + this.rows * CELL + PAD;
    this.sheet.style.width = `${this.width}px`;
    this.sheet.style.height = `${this.height}px`;
    this.#tell();
    this.draw();
  }

  draw() {
    const pen = this.pen, dots = window.devicePixelRatio || 1;
    const wide = Math.min(this.node.clientWidth, this.width), tall = Math.min(this.node.clientHeight, this.height);
    this.canvas.width = Math.round(wide * dots);
    this.canvas.height = Math.round(tall * dots);
    this.canvas.style.width = `${wide}px`;
    this.canvas.style.height = `${tall}px`;
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.fillStyle = this.palette.ground;
    pen.fillRect(0, 0, wide, tall);
    const x = this.left - this.node.scrollLeft, y = this.top - this.node.scrollTop;
    this.from = [Math.floor((this.top - y) / CELL), Math.floor((this.left - x) / CELL)];
    this.to = [Math.min(this.rows, Math.ceil((tall - y) / CELL)), Math.min(this.columns, Math.ceil((wide - x) / CELL))];
    within(pen, [this.left, this.top, wide - this.left, tall - this.top], () => paintCells(this, x, y));
    within(pen, [0, this.top - 2, this.left, tall - this.top + 2], () => paintRowNames(this, y));
    within(pen, [this.left - PAD, 0, wide - this.left + PAD, this.top], () => paintColumnNames(this, x));
    paintCorner(this);
    this.overview.draw([wide, tall]);
    // Tests find the drawn cells by this.
    Object.assign(this.node.dataset, { left: x, top: y, cell: CELL, rows: this.rows, columns: this.columns, drawn: this.view.answers });
  }

  #cell(event) {
    const i = Math.floor((event.offsetY - this.top + this.node.scrollTop) / CELL);
    const j = Math.floor((event.offsetX - this.left + this.node.scrollLeft) / CELL);
    return event.offsetY >= this.top && i < this.rows ? [i, event.offsetX >= this.left && j < this.columns ? j : null] : null;
  }

  #point(event) {
    const cell = this.#cell(event);
    this.canvas.style.cursor = cell ? "pointer" : "default";
    this.pointed(cell && cell[1] !== null ? cell : this.at);
  }

  #click(event) {
    const cell = this.#cell(event);
    if (cell) this.pick(cell[0], cell[1] ?? this.at[1]);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [i, j] = this.at;
    if (event.key in MOVES) this.pick(i + MOVES[event.key][0], j + MOVES[event.key][1]);
    else if (event.key === "Home") this.pick(0, j);
    else if (event.key === "End") this.pick(this.rows - 1, j);
    else return;
    event.preventDefault();
  }

  pick(i, j) {
    this.at = [clamp(i, 0, this.rows - 1), clamp(j, 0, this.columns - 1)];
    this.node.scrollTo(
      this.#scrolled(this.at[1], this.node.scrollLeft, this.node.clientWidth - this.left),
      this.#scrolled(this.at[0], this.node.scrollTop, this.node.clientHeight - this.top),
    );
    this.#tell();
    this.draw();
  }

  #scrolled(cell, now, seen) {
    // Scroll as little as possible to show the cell.
    return clamp(now, Math.max(0, (cell + 1) * CELL + PAD - seen), cell * CELL);
  }

  #tell() {
    this.node.setAttribute("aria-valuemax", this.rows - 1);
    this.node.setAttribute("aria-valuenow", this.at[0]);
    this.node.setAttribute("aria-valuetext", this.view.student[this.at[0]].name);
    this.pointed(this.at);
    this.picked();
  }
}
