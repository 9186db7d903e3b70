import type { MinuteRate, SparkRates } from 'nestjs-spark';
import { html, type Html } from '../html/html.js';
import { barChart, hourOf } from '../view/chart.js';
import { table } from '../view/elements.js';
import type { View } from '../view/view.js';

/** What happened in the last hour, minute by minute: a chart of events, one of deliveries, and both as a table. */
export function ratesChart({ texts: { overview: words }, format }: View, { minutes, isCut }: SparkRates): Html {
  const chart = (id: 'events' | 'deliveries', title: string) => {
    const bars = minutes.map((minute) => ({ at: minute.at, value: minute[id] }));
    return barChart(format, `rates-${id}`, title, bars, words.described);
  };
  const busy = minutes.filter(({ events, deliveries }) => events + deliveries > 0);
  const columns = [
    { head: words.minute, cell: ({ at }: MinuteRate) => `${hourOf(at)} UTC` },
    { head: words.events, cell: ({ events }: MinuteRate) => format.number(events), isNumber: true },
    { head: words.deliveries, cell: ({ deliveries }: MinuteRate) => format.number(deliveries), isNumber: true },
  ];
  return html`<h2>${words.rates}</h2>
    <div class="charts">${chart('events', words.eventsAMinute)} ${chart('deliveries', words.deliveriesAMinute)}</div>
    ${isCut && html`<p class="faint">${words.ratesCut}</p>`}
    <details id="rates-table"><summary>${words.asTable}</summary>
      ${table(words.rates, columns, busy.toReversed(), words.nothingHappened, ({ at }) => at.toISOString())}
    </details>`;
}
