import type { ErrorRecord } from 'nestjs-spark';
import { html } from '../html/html.js';
import { askLink, type Column, firstLine, link, table } from '../view/elements.js';
import { filterForm, pager, pageRequest } from '../view/lists.js';
import type { Content, View } from '../view/view.js';

/** How many of the latest failed attempts are read. */
const MOST_ATTEMPTS = 2_000;
const PARTS = ['handler', 'group', 'state', 'error', 'from', 'to'] as const;

/** The kinds of errors of deliveries that wait or are discarded, latest first. */
export async function errors(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const page = await spark.errors(query.deliveries(), { ...pageRequest(view), readUpTo: MOST_ATTEMPTS });
  const { fields, states } = texts;
  const choices = [
    ['discarded', states.discarded],
    ['available', states.available],
  ] as const;
  const form = filterForm(view, 'errors', [
    { name: 'handler', label: fields.handler },
    { name: 'group', label: fields.group },
    { name: 'state', label: fields.state, choices },
    { name: 'error', label: fields.error },
    { name: 'from', label: fields.from, type: 'datetime-local' },
    { name: 'to', label: fields.to, type: 'datetime-local' },
  ]);
  return {
    title: texts.pages.errors,
    body: html`${form} <p class="faint">${texts.errorsPage.about(view.format.number(MOST_ATTEMPTS))}</p>
      ${table(texts.errorsPage.caption, columns(view), page.records, texts.errorsPage.none, keyOf)}
      ${pager(view, 'errors', PARTS, page)}`,
  };
}

const keyOf = ({ handler, fingerprint }: ErrorRecord): string => `${fingerprint} ${handler}`;

function columns(view: View): Column<ErrorRecord>[] {
  const { texts, format } = view;
  const { fields, errorsPage: words } = texts;
  return [
    {
      head: fields.error,
      cell: ({ error, handler, fingerprint }) => link(firstLine(view, error), 'deliveries', { handler, fingerprint }),
    },
    { head: fields.handler, cell: ({ handler }) => handler },
    { head: words.deliveries, cell: ({ deliveries }) => format.number(deliveries), isNumber: true },
    { head: words.discarded, cell: ({ discarded }) => format.number(discarded), isNumber: true },
    { head: words.first, cell: ({ first }) => format.time(first) },
    { head: words.last, cell: ({ last }) => format.time(last) },
    {
      head: words.action,
      cell: ({ handler, fingerprint }) => askLink(view, 'retry', { handler, fingerprint }, words.retry),
    },
  ];
}
