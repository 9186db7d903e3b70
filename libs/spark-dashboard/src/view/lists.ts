import type { Page as Records, PageRequest } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { link } from './elements.js';
import { COUNTED, MOST_READ, type View } from './view.js';

const ROWS = 50;

/** Which page of a list the address asks for. Only the first one counts. */
export const pageRequest = ({ query }: View): PageRequest => {
  const after = query.text('after');
  return { limit: ROWS, readUpTo: MOST_READ, ...(after === undefined ? { countUpTo: COUNTED } : { after }) };
};

/** How many records there are, and the links to other pages of the list. */
export function pager(
  { texts, format, query }: View,
  page: string,
  parts: readonly string[],
  { records, count, next }: Records<unknown>,
): Html {
  const filter = query.some(parts);
  // The page has read so many rows as it may, and there are more behind them.
  const isCut = next !== undefined && records.length < ROWS;
  return html`${isCut && html`<p class="notice">${texts.lists.cut(format.number(MOST_READ))}</p>`}
  <div class="pages">
    <span>${count !== undefined && !isCut && texts.lists.count(format.capped(count, COUNTED))}</span>
    ${query.text('after') !== undefined && link(texts.lists.first, page, filter)}
    ${next !== undefined && link(isCut ? texts.lists.further : texts.lists.next, page, { ...filter, after: next })}
  </div>`;
}

/** A field of the form that filters a list. */
export interface Field {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'datetime-local';
  /** What there is to choose from, with the text of each. Default: any text. */
  readonly choices?: readonly (readonly [value: string, text: string])[];
  /** What the browser offers to complete the text. */
  readonly known?: readonly string[];
  readonly isNeeded?: boolean;
  /** A slider of whole numbers. */
  readonly range?: { readonly least: number; readonly most: number; readonly usual: number };
}

/**
 * The form that filters a list. It sends its fields as parts of the address.
 *
 * @param fixed Parts that it always sends. Default: none.
 */
export function filterForm(
  { query, texts }: View,
  page: string,
  fields: readonly Field[],
  submit?: string,
  fixed: Readonly<Record<string, string>> = {},
): Html {
  return html`<form class="filter" method="get" action="${page}" role="search">
    ${Object.entries(fixed).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}
    ${fields.map((field) => html`<div><label for="f-${field.name}">${field.label}</label>${input(field, query.text(field.name))}</div>`)}
    <button>${submit ?? texts.lists.filter}</button>
  </form>`;
}

function input({ name, type = 'text', choices, known, isNeeded, range }: Field, value: string | undefined): HtmlValue {
  if (range) {
    const chosen = value ?? range.usual;
    return html`<input id="f-${name}" name="${name}" type="range" min="${range.least}" max="${range.most}" value="${chosen}" data-output="o-${name}">
      <output id="o-${name}" for="f-${name}">${chosen}</output>`;
  }
  if (choices)
    return html`<select id="f-${name}" name="${name}">
      <option value=""></option>
      ${choices.map(([one, text]) => html`<option value="${one}"${one === value ? SELECTED : ''}>${text}</option>`)}
    </select>`;
  const shown = type === 'datetime-local' ? value?.replace(/Z$/, '') : value;
  const list = known ? html` list="l-${name}"` : '';
  const options =
    known && html`<datalist id="l-${name}">${known.map((one) => html`<option value="${one}"></option>`)}</datalist>`;
  return html`<input id="f-${name}" name="${name}" type="${type}" value="${shown ?? ''}"${list}${isNeeded ? REQUIRED : ''} autocomplete="off">${options}`;
}

const SELECTED = html` selected`;
const REQUIRED = html` required`;

/** The fields that filter by event, in the order in which they are shown. */
export function eventFields({ texts }: View): readonly Field[] {
  const { fields } = texts;
  return [
    { name: 'group', label: fields.group },
    { name: 'keyPrefix', label: fields.keyPrefix },
    { name: 'entity', label: fields.entity },
    { name: 'id', label: fields.id },
    { name: 'source', label: fields.source },
    { name: 'from', label: fields.from, type: 'datetime-local' },
    { name: 'to', label: fields.to, type: 'datetime-local' },
  ];
}
