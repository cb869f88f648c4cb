// Follows the reader's preference for light or dark; paper is white whatever it is.
const darkness = matchMedia("screen and (prefers-color-scheme: dark)");
const themed = () => {
  for (const [path, light, dark] of THEMES) {
    const part = path.slice(0, -1).reduce((outer, key) => outer[key], plot);
    part[path[path.length - 1]] = darkness.matches ? dark : light;
  }
  for (const axis of Object.keys(steps)) delete steps[axis]; // labels have colours too
  Plotly.redraw(plot).then(relabel);
};
if (THEMES.length) {
  darkness.addEventListener("change", themed);
  if (darkness.matches) themed();
}
