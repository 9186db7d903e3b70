import type { Page as Records, PageRequest } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { link } from './elements.js';
import { COUNTED, type View } from './view.js';

const ROWS = 50;

/** Which page of a list the address asks for. */
export const pageRequest = ({ query }: View): PageRequest => {
  const after = query.text('after');
  return { limit: ROWS, countUpTo: COUNTED, ...(after === undefined ? {} : { after }) };
};

/** How many records there are, and the links to other pages of the list. */
export function pager(
  { texts, format, query }: View,
  page: string,
  parts: readonly string[],
  { count, next }: Records<unknown>,
): Html {
  const filter = query.some(parts);
  return html`<div class="pages">
    <span>${count !== undefined && texts.lists.count(format.capped(count, COUNTED))}</span>
    ${query.text('after') !== undefined && link(texts.lists.first, page, filter)}
    ${next !== undefined && link(texts.lists.next, page, { ...filter, after: next })}
  </div>`;
}

/** A field of the form that filters a list. */
export interface Field {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'datetime-local' | 'number';
  /** What there is to choose from, with the text of each. Default: any text. */
  readonly choices?: readonly (readonly [value: string, text: string])[];
  /** What the browser offers to complete the text. */
  readonly known?: readonly string[];
  readonly isNeeded?: boolean;
}

/** The form that filters a list. It sends its fields as parts of the address. */
export function filterForm({ query, texts }: View, page: string, fields: readonly Field[], submit?: string): Html {
  return html`<form class="filter" method="get" action="${page}" role="search">
    ${fields.map((field) => html`<div><label for="f-${field.name}">${field.label}</label>${input(field, query.text(field.name))}</div>`)}
    <button>${submit ?? texts.lists.filter}</button>
  </form>`;
}

function input({ name, type = 'text', choices, known, isNeeded }: Field, value: string | undefined): HtmlValue {
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
