import type { DeliveryRecord, WorkerStatus } from 'nestjs-spark';
import { html } from '../html/html.js';
import { type Column, link, table } from '../view/elements.js';
import type { Content, View } from '../view/view.js';

const MOST = 200;

/** The processes that handle deliveries, until when their leases last, and what they are handling since when. */
export async function workers(view: View): Promise<Content> {
  const { spark, texts } = view;
  const known = await spark.workers();
  const { records, next } = await spark.deliveries({ state: 'running' }, { limit: MOST });
  const running = records.toSorted((a, b) => (a.started?.getTime() ?? 0) - (b.started?.getTime() ?? 0));
  const { workers: words, pages } = texts;
  return {
    title: pages.workers,
    body: html`${table(pages.workers, columns(view), known, words.none, ({ id }) => id)}
      <h2>${words.running}</h2>
      ${table(words.running, runningColumns(view, known), running, words.nothingRuns, ({ id }) => id)}
      ${next !== undefined && html`<p>${link(words.all, 'deliveries', { state: 'running' })}</p>`}`,
  };
}

function columns({ texts: { workers: words }, format }: View): Column<WorkerStatus>[] {
  return [
    { head: words.host, cell: ({ host }) => host },
    { head: words.pid, cell: ({ pid }) => pid, isNumber: true },
    { head: words.started, cell: ({ started }) => format.time(started) },
    { head: words.leaseUntil, cell: ({ leaseUntil }) => format.time(leaseUntil) },
    { head: words.runs, cell: ({ running }) => format.number(running), isNumber: true },
    { head: words.oldest, cell: ({ oldest }) => format.time(oldest) },
  ];
}

function runningColumns({ texts, format }: View, known: readonly WorkerStatus[]): Column<DeliveryRecord>[] {
  const { workers: words, fields } = texts;
  const nameOf = (id: string | undefined) => {
    const worker = known.find((one) => one.id === id);
    return worker ? `${worker.host} ${worker.pid}` : words.lost;
  };
  return [
    { head: words.worker, cell: ({ worker }) => nameOf(worker) },
    { head: fields.handler, cell: ({ handler, id }) => link(handler, 'delivery', { id }) },
    { head: fields.key, cell: ({ event: { key } }) => link(key, 'event', { key }) },
    { head: words.since, cell: ({ started }) => format.time(started) },
  ];
}
