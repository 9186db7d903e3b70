/**
 * The part of the browser's module that makes a piece of the page like another one, in place: what stays the same keeps its focus, its place
 * and what was typed into it. Rows are told apart by `data-key`. It is text, because the browser gets it as it is.
 */
export const MORPH = String.raw`
// The property id of a form is its field of that name, if it has one.
const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute('data-key') || node.getAttribute('id') || '' : '');

const isSame = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

/** Whether a sibling after a node is the same as another one. */
function follows(node, like) {
  for (let next = node && node.nextSibling; next; next = next.nextSibling) if (isSame(next, like)) return true;
  return false;
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function morph(from, to) {
  if (from.nodeType !== 1) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  // Whether details are open is up to the reader. Browsers keep what was typed or chosen, whatever the attributes say.
  const isFree = (name) => name === 'open' && from.localName === 'details';
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && !isFree(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes)
    if (from.getAttribute(name) !== value && !isFree(name)) from.setAttribute(name, value);
  morphChildren(from, to);
}

function morphChildren(from, to) {
  const wanted = new Set([...to.childNodes].map(keyOf).filter(Boolean));
  const known = new Map([...from.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let next = from.firstChild;
  for (const node of [...to.childNodes]) {
    // What is gone must not push on what stays: a node that is moved loses its focus.
    while (next && keyOf(next) && !wanted.has(keyOf(next))) next = removed(next);
    const key = keyOf(node);
    // A piece that is gone stands before the one that stays.
    if (!key && next && !isSame(next, node) && !follows(node, next)) while (follows(next, node)) next = removed(next);
    const found = key ? known.get(key) : next;
    const own = found && isSame(found, node) ? found : undefined;
    if (!own) from.insertBefore(document.importNode(node, true), next);
    else {
      if (own === next) next = next.nextSibling;
      else from.insertBefore(own, next);
      morph(own, node);
    }
  }
  while (next) next = removed(next);
}
`;
