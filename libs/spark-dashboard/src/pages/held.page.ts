import type { HeldSample } from 'nestjs-spark';
import { html, type Html } from '../html/html.js';
import { acts, askLink, facts, link, table } from '../view/elements.js';
import type { Content, View } from '../view/view.js';
import { deliveryColumns } from './delivery-columns.js';

const FIRST = 10;
/** How many held deliveries are counted. */
const MOST_HELD = 10_000;

/** Deliveries that wait for a decision: how many of each group, a sample, and what can be done with them. */
export async function held(view: View): Promise<Content> {
  const { spark, texts, format } = view;
  const groups = await spark.held({ countUpTo: MOST_HELD });
  const isCut = groups.reduce((sum, { deliveries }) => sum + deliveries, 0) >= MOST_HELD;
  const body = html`<p>${texts.held.about}</p>
    ${isCut && html`<p class="notice">${texts.held.cut(format.number(MOST_HELD))}</p>`}
    ${groups.length === 0 ? html`<p class="faint">${texts.held.none}</p>` : groups.map((group) => ofGroup(view, group, isCut))}
    ${groups.length > 0 && html`<p>${link(texts.held.all, 'deliveries', { state: 'held' })}</p>`}`;
  return { title: texts.pages.held, body };
}

function ofGroup(view: View, { group, deliveries, since, sample }: HeldSample, isCut: boolean): Html {
  const { texts, format } = view;
  const few = { group, limit: FIRST };
  const count = isCut ? texts.act.atLeast(format.number(deliveries)) : format.number(deliveries);
  return html`<section data-key="${group}"><h2>${group}</h2>
    ${facts([
      [texts.held.count, link(count, 'deliveries', { state: 'held', group })],
      [texts.held.since, format.time(since)],
    ])}
    ${acts(
      askLink(view, 'release', few, texts.held.releaseFirst(FIRST)),
      askLink(view, 'release', { group, state: 'held' }, texts.held.release),
      askLink(view, 'discard', { group, state: 'held' }, texts.held.discard),
    )}
    <p class="faint">${texts.held.sample}</p>
    ${table(texts.held.sample, deliveryColumns(view, ['group', 'state', 'attempt', 'finished', 'error']), sample, texts.held.none, ({ id }) => id)}
  </section>`;
}
