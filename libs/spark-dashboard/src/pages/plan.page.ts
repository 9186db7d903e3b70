import type { PlannedEvent } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { type Column, entityLink, link, table } from '../view/elements.js';
import { filterForm } from '../view/lists.js';
import type { Content, View } from '../view/view.js';
import { type PlanReading, readPlan } from './plan-reading.js';

const DAY = 86_400_000;
const MOST_DAYS = 366;
const PARTS = ['days', 'entity'] as const;

/** What will happen, by day and group. It runs the sources of the entities, so it begins only when it is asked for. */
export async function plan(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const days = query.number('days', 0, MOST_DAYS);
  const { plan: words, fields } = texts;
  const entities = [
    ...new Set((await spark.sources()).map((source) => source.entity).filter((name) => name !== undefined)),
  ];
  const form = filterForm(
    view,
    'plan',
    [
      { name: 'days', label: words.days, type: 'number', isNeeded: true },
      { name: 'entity', label: fields.entity, choices: entities.map((name) => [name, name]) },
    ],
    words.show,
  );
  if (days === undefined) return { title: texts.pages.plan, body: html`<p>${words.about}</p>${form}` };
  const { now } = await spark.health();
  const entity = query.text('entity');
  const request = { at: new Date(now.getTime() + days * DAY), ...(entity === undefined ? {} : { entity }) };
  const listed = { day: query.text('day'), group: query.text('group') };
  const reading = await readPlan(spark.plan(request), listed);
  return { title: texts.pages.plan, body: html`${form} ${shown(view, reading)}` };
}

function shown(view: View, reading: PlanReading): Html {
  const { texts, format, query } = view;
  const { plan: words } = texts;
  const { day, group } = query.some(['day', 'group']);
  const heading = day === undefined && group === undefined ? words.first : words.chosen(day, group);
  return html`${reading.isCut && html`<p class="notice">${words.cut}</p>`}
    ${problems(view, reading)}
    ${table(words.calendar, calendarColumns(view, reading), rowsOf(reading), words.nothing)}
    ${reading.later > 0 && html`<p>${words.later(format.number(reading.later))}</p>`}
    <h2>${heading}</h2>
    ${table(
      heading,
      eventColumns(view),
      reading.events.toSorted((a, b) => a.at.getTime() - b.at.getTime()),
      words.nothing,
    )}
    ${cancellations(view, reading)}`;
}

interface Row {
  readonly day: string;
  readonly group: string;
  readonly count: number;
}

const rowsOf = ({ days }: PlanReading): Row[] =>
  [...days.keys()].sort().flatMap((day) => [...days.get(day)!].map(([group, count]) => ({ day, group, count })));

function calendarColumns({ texts, format, query }: View, reading: PlanReading): Column<Row>[] {
  const most = Math.max(1, ...rowsOf(reading).map(({ count }) => count));
  const asked = query.some(PARTS);
  return [
    { head: texts.plan.day, cell: ({ day }) => link(day, 'plan', { ...asked, day }) },
    { head: texts.fields.group, cell: ({ day, group }) => link(group, 'plan', { ...asked, day, group }) },
    { head: texts.plan.events, cell: ({ count }) => format.number(count), isNumber: true },
    { head: texts.plan.share, cell: ({ count, group, day }) => meter(count, most, `${day} ${group}`) },
  ];
}

const meter = (count: number, most: number, label: string): HtmlValue =>
  html`<meter min="0" max="${most}" value="${count}" aria-label="${label}"></meter>`;

function eventColumns({ texts: { fields, plan: words }, format }: View): Column<PlannedEvent>[] {
  return [
    { head: words.at, cell: ({ at }) => format.time(at) },
    { head: fields.key, cell: ({ key }) => key },
    { head: fields.group, cell: ({ group }) => group },
    { head: fields.entity, cell: ({ entity, id }) => entityLink(entity, id) },
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

function cancellations(
  { texts: { plan: words, fields }, format }: View,
  { cancellations: all }: PlanReading,
): HtmlValue {
  if (all.length === 0) return undefined;
  const columns: Column<(typeof all)[number]>[] = [
    { head: words.at, cell: ({ at }) => format.time(at) },
    { head: fields.entity, cell: ({ entity, id }) => entityLink(entity, id) },
  ];
  return html`<h2>${words.cancellations}</h2>${table(words.cancellations, columns, all, '')}`;
}
