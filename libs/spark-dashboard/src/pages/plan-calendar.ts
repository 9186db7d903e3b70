import { html, type Html, type HtmlValue } from '../html/html.js';
import { link } from '../view/elements.js';
import type { View } from '../view/view.js';
import type { PlanReading } from './plan-reading.js';

/** The parts of the address that a link of the calendar keeps. */
const PARTS = ['days', 'entity'] as const;
// A table with more columns is hard to read.
const MOST_GROUPS = 8;
const LEVELS = 4;

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((all, one) => all + one, 0);

/** The days and groups of a plan: one row a day, one column a group. Each number leads to its events. */
export function calendar(view: View, { days }: PlanReading): Html {
  const { texts, format, query } = view;
  const { plan: words } = texts;
  if (days.size === 0) return html`<p class="faint">${words.nothing}</p>`;
  const { shown, others } = groupsOf(days);
  const asked = query.some(PARTS);
  const most = Math.max(...[...days.values()].flatMap((groups) => [...groups.values()]));
  const cell = (count: number, day: string, group: string | undefined): Html => {
    const level = count === 0 ? 0 : Math.ceil((count / most) * LEVELS);
    const number = count === 0 ? '' : link(format.number(count), 'plan', { ...asked, day, group });
    return html`<td class="number heat${Math.min(level, LEVELS)}">${number}</td>`;
  };
  const row = (day: string, groups: ReadonlyMap<string, number>): Html => html`<tr>
    <th scope="row">${link(day, 'plan', { ...asked, day })}</th>
    ${shown.map((group) => cell(groups.get(group) ?? 0, day, group))}
    ${others.length > 0 && cell(sum(others.map((group) => groups.get(group) ?? 0)), day, undefined)}
    <td class="number">${format.number(sum(groups.values()))}</td>
  </tr>`;
  const head = (text: HtmlValue): Html => html`<th scope="col" class="number">${text}</th>`;
  return html`<div class="scroll" role="region" aria-label="${words.calendar}" tabindex="0">
    <table class="calendar">
      <caption>${words.calendar}</caption>
      <thead><tr><th scope="col">${words.day}</th>
        ${shown.map((group) => head(link(group, 'plan', { ...asked, group })))}
        ${others.length > 0 && head(words.otherGroups(others.length))}
        ${head(words.total)}</tr></thead>
      <tbody>${[...days.keys()].sort().map((day) => row(day, days.get(day)!))}</tbody>
    </table>
  </div>`;
}

/** The groups that have most events, by name, and the others. */
function groupsOf(days: PlanReading['days']): { shown: string[]; others: string[] } {
  const totals = new Map<string, number>();
  for (const groups of days.values())
    for (const [group, count] of groups) totals.set(group, (totals.get(group) ?? 0) + count);
  const names = [...totals.keys()].sort((a, b) => totals.get(b)! - totals.get(a)! || (a < b ? -1 : 1));
  return { shown: names.slice(0, MOST_GROUPS).sort(), others: names.slice(MOST_GROUPS) };
}
