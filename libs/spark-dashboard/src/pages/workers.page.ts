import type { DeliveryRecord, WorkerStatus } from 'nestjs-spark';
import { html } from '../html/html.js';
import { type Column, link, table } from '../view/elements.js';
import type { Content, View } from '../view/view.js';

const MOST = 200;

/** The processes that handle deliveries, and what they are handling. */
export async function workers(view: View): Promise<Content> {
  const { spark, texts } = view;
  const known = await spark.workers();
  const running = (await spark.deliveries({ state: 'running' }, { limit: MOST })).records;
  return {
    title: texts.pages.workers,
    body: html`${table(texts.pages.workers, columns(view, running), known, texts.workers.none)}
      <h2>${texts.workers.running}</h2>
      ${table(texts.workers.running, runningColumns(view, known), running, texts.workers.nothingRuns)}`,
  };
}

function columns(
  { texts: { workers: words }, format }: View,
  running: readonly DeliveryRecord[],
): Column<WorkerStatus>[] {
  const runs = ({ id }: WorkerStatus) => running.filter(({ worker }) => worker === id).length;
  return [
    { head: words.host, cell: ({ host }) => host },
    { head: words.pid, cell: ({ pid }) => pid, isNumber: true },
    { head: words.started, cell: ({ started }) => format.time(started) },
    { head: words.runs, cell: (worker) => format.number(runs(worker)), isNumber: true },
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
