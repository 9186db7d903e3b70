import { html, type HtmlValue } from '../html/html.js';
import { acts, askLink, table } from '../view/elements.js';
import { eventFields, type Field, filterForm, pager, pageRequest } from '../view/lists.js';
import { DELIVERY_PARTS } from '../view/query.js';
import type { Content, View } from '../view/view.js';
import { deliveryColumns } from './delivery-columns.js';

/** Deliveries, those of the latest events first, and what can be done with all that the filter selects. */
export async function deliveries(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const page = await spark.deliveries(query.deliveries(), pageRequest(view));
  return {
    title: texts.pages.deliveries,
    body: html`${filterForm(view, 'deliveries', fields(view))}
      ${page.records.length > 0 && ofAll(view)}
      ${table(texts.pages.deliveries, deliveryColumns(view), page.records, texts.lists.none, ({ id }) => id)}
      ${pager(view, 'deliveries', DELIVERY_PARTS, page)}`,
  };
}

function fields(view: View): Field[] {
  const { texts } = view;
  return [
    { name: 'state', label: texts.fields.state, choices: Object.entries(texts.states) },
    { name: 'handler', label: texts.fields.handler },
    { name: 'error', label: texts.fields.error },
    { name: 'fingerprint', label: texts.fields.fingerprint },
    ...eventFields(view),
  ];
}

/** In which states each action changes something. */
const STATES = {
  retry: ['discarded', 'available'],
  release: ['held'],
  discard: ['available', 'held'],
} as const;

function ofAll(view: View): HtmlValue {
  const filter = view.query.some(DELIVERY_PARTS);
  const items = (['retry', 'release', 'discard'] as const)
    .filter((action) => filter.state === undefined || (STATES[action] as readonly string[]).includes(filter.state))
    .map((action) => askLink(view, action, filter));
  return items.some((item) => item !== undefined) && acts(html`<span>${view.texts.lists.ofAll}</span>`, ...items);
}
