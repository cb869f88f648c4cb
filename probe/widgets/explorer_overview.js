// A small overview of a sentence that is larger than its window; drag there to move the view.

const OVERVIEW = 150; // pixels of its longer side

class Overview {
  constructor(map) {
    this.map = map;
    this.node = make("canvas", { class: "probe-overview", title: "Overview of the whole sentence; drag to move the view", "aria-hidden": "true" });
    for (const name of ["pointerdown", "pointermove"]) this.node.addEventListener(name, (event) => this.#drag(event));
  }

  draw(seen) {
    const { map, node } = this;
    node.hidden = seen[0] >= map.width && seen[1] >= map.height;
    if (node.hidden) return;
    const dots = OVERVIEW / Math.max(map.rows, map.columns), pen = node.getContext("2d");
    this.scale = dots / CELL;
    [node.width, node.height] = [Math.ceil(map.columns * dots), Math.ceil(map.rows * dots)];
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.#marks(Math.min(1, dots)), 0, 0, node.width, node.height);
    [pen.strokeStyle, pen.lineWidth] = [map.palette.muted, 2];
    const frame = [map.node.scrollLeft, map.node.scrollTop, seen[0] - map.left, seen[1] - map.top];
    pen.strokeRect(...frame.map((size) => size * this.scale));
  }

  // Show only links and largest weights, because pale cells would not be visible at this size.
  #marks(scale) {
    const { rows, columns, flags, palette } = this.map;
    if (this.marks?.of === flags && this.marks.palette === palette) return this.marks.image;
    const image = new OffscreenCanvas(Math.ceil(columns * scale), Math.ceil(rows * scale)), pen = image.getContext("2d");
    for (const [bits, colour] of [[SURE | POSSIBLE, palette.link], [LARGEST, palette.ink]]) {
      pen.fillStyle = colour;
      flags.forEach((flag, cell) => {
        if (flag & bits) pen.fillRect(Math.floor((cell % columns) * scale), Math.floor(Math.floor(cell / columns) * scale), 1, 1);
      });
    }
    this.marks = { of: flags, palette, image };
    return image;
  }

  #drag(event) {
    if (event.buttons !== 1) return;
    const { node, left, top } = this.map;
    node.scrollTo(
      event.offsetX / this.scale - (node.clientWidth - left) / 2,
      event.offsetY / this.scale - (node.clientHeight - top) / 2,
    );
  }
}
