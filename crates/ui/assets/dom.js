// Elements without markup strings: names in the mesh are chosen by users and must stay text.

const SVG = "http://www.w3.org/2000/svg";

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);
export const svg = (tag, props, ...children) => build(document.createElementNS(SVG, tag), props, children);
export const $ = (id) => document.getElementById(id);

const HANDLERS = ["onclick", "onkeydown", "onpointermove", "onpointerleave", "onfocus", "onblur"];

/// Makes `old` equal to `fresh`, touching only what differs, so that focus, hover and scroll survive an update.
export function morph(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  morphChildren(old, [...fresh.childNodes]);
}

export function morphChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = parent.firstChild;
  for (const next of fresh) {
    const key = next.nodeType === 1 ? next.dataset.key : undefined;
    let match = key ? keyed.get(key) : at;
    if (match && !key && match.nodeType === 1 && match.dataset.key) match = null;
    if (match && match.nodeName === next.nodeName) {
      if (match !== at) parent.insertBefore(match, at);
      if (next.nodeType === 3) {
        if (match.data !== next.data) match.data = next.data;
      } else morph(match, next);
      at = match.nextSibling;
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setData(element, name, value) {
  const text = String(value);
  if (element.dataset[name] !== text) element.dataset[name] = text;
}
