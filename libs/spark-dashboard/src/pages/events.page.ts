import type { EventRecord } from 'nestjs-spark';
import { html } from '../html/html.js';
import { type Column, entityLink, link, table } from '../view/elements.js';
import { eventFields, filterForm, pager, pageRequest } from '../view/lists.js';
import { EVENT_PARTS } from '../view/query.js';
import type { Content, View } from '../view/view.js';

/** Events, latest first. */
export async function events(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const page = await spark.events(query.events(), pageRequest(view));
  return {
    title: texts.pages.events,
    body: html`${filterForm(view, 'events', eventFields(view))}
      ${table(texts.pages.events, columns(view), page.records, texts.lists.none, ({ id }) => id)}
      ${pager(view, 'events', EVENT_PARTS, page)}`,
  };
}

function columns({ texts: { fields }, format }: View): Column<EventRecord>[] {
  return [
    { head: fields.recorded, cell: ({ recorded }) => format.time(recorded) },
    { head: fields.key, cell: ({ key }) => link(key, 'event', { key }) },
    { head: fields.group, cell: ({ group }) => link(group, 'events', { group }) },
    { head: fields.entity, cell: ({ entity, entityId }) => entityLink(entity, entityId) },
    { head: fields.source, cell: ({ source }) => (source === undefined ? '–' : link(source, 'events', { source })) },
  ];
}
