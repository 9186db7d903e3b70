import type { SparkHealth } from 'nestjs-spark';
import { address, type Parameters } from '../html/address.js';
import { html, type Html } from '../html/html.js';
import { type Column, link, table } from '../view/elements.js';
import { type Content, COUNTED, type View } from '../view/view.js';
import { ratesChart } from './rates-chart.js';

/** A figure that leads to its list. */
interface Figure {
  readonly name: string;
  readonly value: string;
  readonly page: string;
  readonly parameters?: Parameters;
  /** Whether somebody should look at it. */
  readonly isOdd: boolean;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

/** All that matters at a glance. Each figure is read by index and stops at about 1,000, except what sweeps have missed. */
export async function overview(view: View): Promise<Content> {
  const { spark, texts } = view;
  const health = await spark.health();
  const rechecks = await spark.rechecks({ to: health.now }, { limit: 1, countUpTo: COUNTED });
  const missed = sum((await spark.sources()).map((source) => source.missed));
  const figures = figuresOf(view, health, rechecks.count!, missed);
  const { backlog } = health;
  const columns: Column<(typeof backlog)[number]>[] = [
    { head: texts.fields.handler, cell: ({ handler }) => link(handler, 'deliveries', { state: 'available', handler }) },
    { head: texts.overview.since, cell: ({ since }) => view.format.time(since) },
    {
      head: texts.overview.age,
      cell: ({ since }) => view.format.duration(health.now.getTime() - since.getTime()),
      isNumber: true,
    },
  ];
  const body = html`<ul class="figures">${figures.map(written)}</ul>
    ${ratesChart(view, await spark.rates())}
    <h2>${texts.overview.backlog}</h2>
    ${table(texts.overview.backlogCaption, columns, backlog, texts.overview.noBacklog, ({ handler }) => handler)}
    ${health.lease === 'lost' && html`<p class="notice wrong">${texts.overview.leaseLost}</p>`}`;
  return { title: texts.pages['./'], body };
}

function figuresOf(
  { format, texts: { overview: words } }: View,
  { now, backlog, discarded, held, orphans, workers, sweeps, paused }: SparkHealth,
  rechecks: number,
  missed: number,
): Figure[] {
  const oldest =
    backlog.length === 0 ? undefined : now.getTime() - Math.min(...backlog.map(({ since }) => since.getTime()));
  const counts = {
    discarded: sum(discarded.map(({ deliveries }) => deliveries)),
    held: sum(held.map(({ deliveries }) => deliveries)),
    orphans: sum(orphans.map(({ deliveries }) => deliveries)),
  };
  const running = sweeps.filter(({ sweeping }) => sweeping !== undefined).length;
  const capped = (value: number) => format.capped(value, COUNTED);
  return [
    {
      name: words.oldest,
      value: format.duration(oldest ?? 0),
      page: 'deliveries',
      parameters: { state: 'available' },
      isOdd: (oldest ?? 0) > 900_000,
    },
    {
      name: words.discarded,
      value: capped(counts.discarded),
      page: 'deliveries',
      parameters: { state: 'discarded' },
      isOdd: counts.discarded > 0,
    },
    { name: words.held, value: capped(counts.held), page: 'held', isOdd: counts.held > 0 },
    { name: words.orphans, value: capped(counts.orphans), page: 'handlers', isOdd: counts.orphans > 0 },
    { name: words.missed, value: format.number(missed), page: 'sweeps', isOdd: missed > 0 },
    { name: words.rechecks, value: capped(rechecks), page: 'rechecks', isOdd: false },
    { name: words.paused, value: format.number(paused.length), page: 'handlers', isOdd: paused.length > 0 },
    { name: words.sweeping, value: format.number(running), page: 'sweeps', isOdd: false },
    { name: words.workers, value: format.number(workers), page: 'workers', isOdd: workers === 0 },
  ];
}

const written = ({ name, value, page, parameters, isOdd }: Figure): Html =>
  html`<li class="${isOdd ? 'look' : ''}"><a href="${address(page, parameters)}"><b>${value}</b> ${name}</a></li>`;
