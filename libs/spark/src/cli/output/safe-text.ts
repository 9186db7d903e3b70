import { printable } from '../../error/text-of.js';

/** Text of several lines for a terminal: each line without characters that a terminal acts on. */
export const printableLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => printable(line))
    .join('\n');

// What JSON may have in texts, and a terminal acts on: DEL, the C1 controls, and marks that change the direction of text.
const UNSAFE = /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** A record as JSON on one line, for machines and safe in a terminal. Fields without a value are `null`. */
export function jsonLine(record: object): string {
  const json = JSON.stringify(record, (_, value: unknown) => (value === undefined ? null : value));
  return json.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const segmenter = new Intl.Segmenter();
const WIDE =
  /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}/u;

/** How many columns of a terminal a text takes. */
export function widthOf(text: string): number {
  // eslint-disable-next-line no-control-regex -- ASCII is the usual case
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}
