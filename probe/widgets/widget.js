// What the widgets of a notebook have in common; it stands before the script of each.

const FOCUSABLE = ["button", "input", "select", "td", "textarea"];

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  // A notebook's shortcuts look at the focused element first, so the mark has to be on it and not around it.
  if (FOCUSABLE.includes(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  // JupyterLab takes line breaks from whatever is typed in within a cell.
  if (tag === "textarea") node.addEventListener("keydown", (event) => event.key === "Enter" && event.stopPropagation());
  node.append(...children);
  return node;
}

function button(text, title, act) {
  return make("button", { type: "button", title, onclick: act }, text);
}
