import { html } from '../html/html.js';
import { entityLink, table } from '../view/elements.js';
import { filterForm, pager, pageRequest } from '../view/lists.js';
import { RECHECK_PARTS } from '../view/query.js';
import type { Content, View } from '../view/view.js';

/** Entities that are rechecked, soonest first. */
export async function rechecks(view: View): Promise<Content> {
  const { query, spark, texts, format } = view;
  const { fields } = texts;
  const page = await spark.rechecks(query.rechecks(), pageRequest(view));
  const form = filterForm(view, 'rechecks', [
    { name: 'entity', label: fields.entity },
    { name: 'id', label: fields.id },
    { name: 'from', label: fields.from, type: 'datetime-local' },
    { name: 'to', label: fields.to, type: 'datetime-local' },
  ]);
  const columns = [
    { head: fields.due, cell: ({ due }: Recheck) => format.time(due) },
    { head: fields.entity, cell: ({ entity, entityId }: Recheck) => entityLink(entity, entityId) },
    { head: texts.rechecks.failed, cell: ({ attempt }: Recheck) => format.number(attempt), isNumber: true },
  ];
  return {
    title: texts.rechecks.title,
    body: html`${form} ${table(texts.rechecks.title, columns, page.records, texts.lists.none, ({ id }) => id)}
      ${pager(view, 'rechecks', RECHECK_PARTS, page)}`,
  };
}

type Recheck = Awaited<ReturnType<View['spark']['rechecks']>>['records'][number];
