import type { HeldGroup } from 'nestjs-spark';
import { html, type Html } from '../html/html.js';
import { acts, askLink, facts, link, table } from '../view/elements.js';
import { type Content, COUNTED, type View } from '../view/view.js';
import { deliveryColumns } from './delivery-columns.js';

const FIRST = 10;
const SAMPLE = 5;
// Each group costs a read.
const MOST_GROUPS = 20;

/** Deliveries that wait for a decision: how many of each group, a sample, and what can be done with them. */
export async function held(view: View): Promise<Content> {
  const { spark, texts } = view;
  const groups = (await spark.health()).held;
  const parts: Html[] = [];
  for (const group of groups.slice(0, MOST_GROUPS)) parts.push(await ofGroup(view, group));
  const body = html`<p>${texts.held.about}</p>
    ${groups.length === 0 ? html`<p class="faint">${texts.held.none}</p>` : parts}
    ${groups.length > 0 && html`<p>${link(texts.held.all, 'deliveries', { state: 'held' })}</p>`}`;
  return { title: texts.pages.held, body };
}

async function ofGroup(view: View, { group, since }: HeldGroup): Promise<Html> {
  const { spark, texts, format } = view;
  const page = await spark.deliveries({ state: 'held', group }, { limit: SAMPLE, countUpTo: COUNTED });
  const few = { group, limit: FIRST };
  return html`<h2>${group}</h2>
    ${facts([
      [texts.held.count, link(format.capped(page.count!, COUNTED), 'deliveries', { state: 'held', group })],
      [texts.held.since, format.time(since)],
    ])}
    ${acts(
      askLink(view, 'release', few, texts.held.releaseFirst(FIRST)),
      askLink(view, 'release', { group, state: 'held' }, texts.held.release),
      askLink(view, 'discard', { group, state: 'held' }, texts.held.discard),
    )}
    ${table(texts.held.sample, deliveryColumns(view, ['group', 'state', 'attempt', 'finished', 'error']), page.records, texts.held.none)}`;
}
