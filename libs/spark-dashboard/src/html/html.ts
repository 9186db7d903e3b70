/** Text that is HTML already. Only the tag `html` makes it. */
export class Html {
  constructor(readonly text: string) {}
}

/** What a place in a template may have. Nothing is written for `undefined`, `null` and `false`. */
export type HtmlValue = Html | string | number | bigint | undefined | null | false | readonly HtmlValue[];

/**
 * Writes HTML. Each value is escaped, unless it is `Html` itself, so that no text of events, errors or requests becomes markup. Attributes
 * must have quotes around their values.
 *
 * @example
 * html`<a href="${address}">${event.key}</a>`;
 */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return new Html(parts.map((part, i) => (i < values.length ? part + written(values[i]) : part)).join(''));
}

function written(value: HtmlValue): string {
  if (value instanceof Html) return value.text;
  if (value === undefined || value === null || value === false) return '';
  if (isList(value)) return value.map(written).join('');
  return escaped(String(value));
}

const isList = (value: HtmlValue): value is readonly HtmlValue[] => Array.isArray(value);

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Control characters, and marks that change the direction of text: they would make a text look like another one. */
// eslint-disable-next-line no-control-regex -- these are the characters that it is about
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Escapes text for HTML, in elements and in attributes with quotes. Hidden characters are shown as `\u` and their number. */
export function escaped(text: string): string {
  return text
    .replace(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/[&<>"'`]/g, (character) => ENTITIES[character]!);
}
