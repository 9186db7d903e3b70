import type { PlannedCancellation, PlannedEvent } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { type Column, entityLink, link, table } from '../view/elements.js';
import { filterForm } from '../view/lists.js';
import type { Content, View } from '../view/view.js';
import { Work } from '../view/work.js';
import { calendar } from './plan-calendar.js';
import { type PlanReading, readPlan } from './plan-reading.js';

const DAY = 86_400_000;
const MOST_DAYS = 366;
const SLIDER = { least: 0, most: 90, usual: 7 };

/**
 * What will happen, by day and group. It runs the sources of the entities, so it begins only when it is asked for, and ends when the person
 * leaves the page.
 */
export async function plan(view: View): Promise<Content | Work> {
  const { query, spark, texts, format } = view;
  const days = query.number('days', 0, MOST_DAYS);
  const { plan: words } = texts;
  const title = texts.pages.plan;
  const form = await planForm(view, days);
  if (days === undefined) return { title, body: html`<p>${words.about}</p>${form}` };
  const { now } = await spark.health();
  const at = new Date(now.getTime() + days * DAY);
  const entity = query.text('entity');
  const listed = { day: query.text('day'), group: query.text('group') };
  return new Work(title, link(words.stop, 'plan'), async ({ tell, signal }) => {
    const onProgress = (read: number) => tell(words.read(format.number(read)));
    const planned = spark.plan({ at, signal, onProgress, ...(entity === undefined ? {} : { entity }) });
    const reading = await readPlan(planned, listed);
    return { title, body: html`${form} <p>${words.until} ${format.time(at)}</p> ${shown(view, reading)}` };
  });
}

async function planForm(view: View, days: number | undefined): Promise<Html> {
  const { texts, spark } = view;
  const entities = (await spark.sources()).map((source) => source.entity).filter((name) => name !== undefined);
  const most = Math.max(SLIDER.most, days ?? 0);
  return filterForm(
    view,
    'plan',
    [
      { name: 'days', label: texts.plan.days, range: { ...SLIDER, most } },
      { name: 'entity', label: texts.fields.entity, choices: [...new Set(entities)].map((name) => [name, name]) },
    ],
    texts.plan.show,
  );
}

function shown(view: View, reading: PlanReading): Html {
  const { texts, format, query } = view;
  const { plan: words } = texts;
  const { day, group, entity, days } = query.some(['day', 'group', 'entity', 'days']);
  const isChosen = day !== undefined || group !== undefined;
  const heading = isChosen ? words.chosen(day, group) : words.first;
  const sorted = reading.events.toSorted((a, b) => a.at.getTime() - b.at.getTime());
  return html`${reading.isCut && html`<p class="notice">${words.cut}</p>`}
    ${problems(view, reading)}
    ${calendar(view, reading)}
    ${reading.later > 0 && html`<p>${words.later(format.number(reading.later))}</p>`}
    <h2>${heading}</h2>
    ${isChosen && html`<p>${link(words.allDays, 'plan', { days, entity })}</p>`}
    ${reading.chosen > sorted.length && html`<p class="faint">${words.some(format.number(sorted.length), format.number(reading.chosen))}</p>`}
    ${table(heading, eventColumns(view), sorted, words.nothing)}
    ${cancellations(view, reading)}`;
}

function eventColumns({ texts: { fields, plan: words }, format }: View): Column<PlannedEvent>[] {
  return [
    { head: words.at, cell: ({ at }) => format.time(at) },
    { head: fields.key, cell: ({ key }) => key },
    { head: fields.group, cell: ({ group }) => group },
    { head: fields.entity, cell: ({ entity, id }) => entityLink(entity, id) },
    { head: fields.source, cell: ({ source }) => source },
    { head: words.handlers, cell: ({ handlers }) => handlers.join(', ') || '–' },
  ];
}

function problems({ texts: { plan: words }, format, settings }: View, { problems: all }: PlanReading): HtmlValue {
  if (all.length === 0) return undefined;
  return html`<div class="notice wrong">
    <p>${words.problems}</p>
    <ul>${all.map(({ problem, count }) => html`<li>${words.outcomes[problem.outcome]}: ${problem.source} (${format.number(count)}): ${settings.redactor.error(problem.reason)}</li>`)}</ul>
  </div>`;
}

function cancellations(view: View, { cancellations: all, cancelled }: PlanReading): HtmlValue {
  if (all.length === 0) return undefined;
  const { texts, format } = view;
  const { plan: words, fields } = texts;
  const columns: Column<PlannedCancellation>[] = [
    { head: words.at, cell: ({ at }) => format.time(at) },
    { head: fields.entity, cell: ({ entity, id }) => entityLink(entity, id) },
  ];
  return html`<h2>${words.cancellations}</h2>
    ${cancelled > all.length && html`<p class="faint">${words.some(format.number(all.length), format.number(cancelled))}</p>`}
    ${table(words.cancellations, columns, all, '')}`;
}
