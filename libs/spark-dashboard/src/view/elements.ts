import type { DashboardAction } from '../access/actions.js';
import { address, type Parameters } from '../html/address.js';
import { html, type Html, type HtmlValue } from '../html/html.js';
import type { View } from './view.js';

/** A column of a table: its heading, and what it shows of a record. */
export interface Column<R> {
  readonly head: string;
  readonly cell: (record: R) => HtmlValue;
  readonly isNumber?: boolean;
}

/**
 * A table; a sentence if there is nothing to show.
 *
 * @param caption Screen readers read it. Others see the heading above.
 * @param keyOf What tells a record from the others, so that its row stays the same one when the page is updated. Default: its place.
 */
export function table<R>(
  caption: string,
  columns: readonly Column<R>[],
  records: readonly R[],
  empty: string,
  keyOf?: (record: R) => string,
): Html {
  if (records.length === 0) return html`<p class="faint">${empty}</p>`;
  const kind = ({ isNumber }: Column<R>) => (isNumber ? 'number' : '');
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption>${caption}</caption>
      <thead><tr>${columns.map((column) => html`<th scope="col" class="${kind(column)}">${column.head}</th>`)}</tr></thead>
      <tbody>
        ${records.map((record) => html`<tr${keyOf && html` data-key="${keyOf(record)}"`}>${columns.map((column) => html`<td class="${kind(column)}">${column.cell(record)}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>`;
}

/** Names and values. Those without a value are left out. */
export function facts(pairs: readonly (readonly [name: string, value: HtmlValue])[]): Html {
  const given = pairs.filter(([, value]) => value !== undefined && value !== null && value !== '');
  return html`<dl class="facts">${given.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

export function link(text: HtmlValue, page: string, parameters?: Parameters): Html {
  return html`<a href="${address(page, parameters)}">${text}</a>`;
}

/** The state of a delivery. */
export const state = ({ texts }: View, name: string): Html => {
  const known = (texts.states as Record<string, string>)[name] ?? name;
  return html`<span class="badge ${name}">${known}</span>`;
};

/** The page of an entity; its name alone if the event has none. */
export function entityLink(entity: string | undefined, id: string | undefined): HtmlValue {
  if (entity === undefined) return '–';
  return link(id === undefined ? entity : `${entity} ${id}`, id === undefined ? 'events' : 'entity', {
    [id === undefined ? 'entity' : 'type']: entity,
    id,
  });
}

/** The first line of an error, without what looks secret. */
export function firstLine({ settings }: View, error: string | undefined): HtmlValue {
  if (error === undefined) return '';
  const line = settings.redactor.error(error).split('\n', 1)[0]!;
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

/** All of an error. */
export const wholeError = ({ settings }: View, error: string): Html =>
  html`<pre lang="en">${settings.redactor.error(error)}</pre>`;

/** A link to the page that counts and asks, before an action on many deliveries. Nothing if it is not permitted. */
export function askLink(
  { permission, texts }: View,
  action: DashboardAction,
  parameters: Parameters,
  text?: string,
): HtmlValue {
  if (!permission.may(action)) return undefined;
  return link(text ?? texts.actions[action], 'act', { do: action, ...parameters });
}

/** A button that acts at once. Nothing if it is not permitted. */
export function actButton(
  { permission, texts }: View,
  action: DashboardAction,
  parameters: Parameters,
  text?: string,
): HtmlValue {
  if (!permission.may(action)) return undefined;
  return html`<form method="post" action="${address('act', { do: action, ...parameters })}">
    <button>${text ?? texts.actions[action]}</button>
  </form>`;
}

/** Links and buttons in a row; nothing if there are none. */
export function acts(...items: readonly HtmlValue[]): HtmlValue {
  return items.some((item) => item !== undefined) && html`<div class="acts">${items}</div>`;
}
