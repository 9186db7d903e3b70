import type { EventRecord } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { link } from '../view/elements.js';
import type { View } from '../view/view.js';

// Each level is a read, and a page must not be long.
const LEVELS = 3;
const MOST = 100;

/** What led to an event, and what it has led to. */
export async function chain(view: View, event: EventRecord): Promise<Html> {
  const { texts, spark } = view;
  const { causedBy } = event;
  const before =
    causedBy === undefined ? undefined : (await spark.events({ eventId: causedBy }, { limit: 1 })).records[0];
  const levels: EventRecord[][] = [];
  let isCut = false;
  for (let ids = [event.id]; ids.length > 0 && levels.length < LEVELS && !isCut;) {
    const { records, next } = await spark.events({ causedBy: ids }, { limit: MOST });
    isCut = next !== undefined;
    if (records.length > 0) levels.push(records.toReversed());
    ids = records.map(({ id }) => id);
  }
  const led = byCause(levels.flat());
  const children = (id: string) => led.get(id);
  const isDeep = levels.length === LEVELS;
  return html`<h2>${texts.event.chain}</h2>
    ${ledToIt(view, causedBy, before)}
    ${levels.length === 0 ? html`<p class="faint">${texts.event.ledToNothing}</p>` : tree(view, children, event.id, texts.event.chain)}
    ${(isCut || isDeep) && html`<p class="faint">${texts.event.chainCut}</p>`}
    ${levels.length > 0 && html`<p>${link(texts.event.allLedTo, 'events', { causedBy: event.id })}</p>`}`;
}

function ledToIt({ texts }: View, causedBy: string | undefined, before: EventRecord | undefined): HtmlValue {
  if (causedBy === undefined) return undefined;
  const { key } = before ?? {};
  return html`<p>${texts.event.causedBy} ${key === undefined ? texts.event.gone : link(key, 'event', { key })}</p>`;
}

function byCause(events: readonly EventRecord[]): Map<string, EventRecord[]> {
  const children = new Map<string, EventRecord[]>();
  for (const event of events) children.set(event.causedBy!, [...(children.get(event.causedBy!) ?? []), event]);
  return children;
}

type ChildrenOf = (id: string) => readonly EventRecord[] | undefined;

/** Events that an event has led to, with what these have led to. */
function tree({ format }: View, children: ChildrenOf, id: string, label: string): HtmlValue {
  const list = (of: string): HtmlValue =>
    children(of)?.map(
      ({ id: own, key, recorded }) => html`<li data-key="${own}">${link(key, 'event', { key })} ${format.time(recorded)}
        ${children(own) && html`<ul>${list(own)}</ul>`}</li>`,
    );
  return html`<ul class="chain" aria-label="${label}">${list(id)}</ul>`;
}
