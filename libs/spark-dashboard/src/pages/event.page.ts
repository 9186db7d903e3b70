import type { EventRecord } from 'nestjs-spark';
import { html, type Html } from '../html/html.js';
import { entityLink, facts, link, table } from '../view/elements.js';
import type { Content, View } from '../view/view.js';
import { chain } from './chain.js';
import { deliveryColumns } from './delivery-columns.js';
import { notFound } from './not-found.page.js';

/** One event: what the ledger has of it, its deliveries, what led to it, and what it has led to. */
export async function event(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const key = query.needed('key');
  const found = (await spark.events({ key }, { limit: 1 })).records[0];
  if (!found) return notFound(view, texts.event.none(key));
  const deliveries = await spark.deliveries({ key }, { limit: 100 });
  return {
    title: found.key,
    body: html`${about(view, found)}
      <h2>${texts.pages.deliveries}</h2>
      ${table(texts.pages.deliveries, deliveryColumns(view, ['event', 'group']), deliveries.records, texts.event.noDeliveries, ({ id }) => id)}
      ${await chain(view, found)}
      ${data(view, found)}`,
  };
}

function about({ texts: { fields }, format }: View, record: EventRecord): Html {
  const { group, entity, entityId, source, at, until, recorded, depth } = record;
  return facts([
    [fields.group, link(group, 'events', { group })],
    [fields.entity, entityLink(entity, entityId)],
    [fields.source, source === undefined ? '–' : link(source, 'events', { source })],
    [fields.recorded, format.time(recorded)],
    [fields.at, at && format.time(at)],
    [fields.until, until && format.time(until)],
    [fields.depth, depth > 0 ? format.number(depth) : undefined],
  ]);
}

function data({ settings: { redactor }, texts }: View, { context, metadata }: EventRecord): Html {
  return html`<h2>${texts.event.context}</h2>
    ${context === undefined ? html`<p class="faint">${texts.event.noContext}</p>` : html`<pre>${redactor.context(context)}</pre>`}
    ${metadata !== undefined && html`<h2>${texts.event.metadata}</h2><pre>${redactor.values(metadata)}</pre>`}`;
}
