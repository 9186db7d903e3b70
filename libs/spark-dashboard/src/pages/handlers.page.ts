import type { HandlerStatus, Orphans } from 'nestjs-spark';
import { html, type HtmlValue } from '../html/html.js';
import { actButton, acts, askLink, type Column, link, table } from '../view/elements.js';
import { type Content, COUNTED, type View } from '../view/view.js';

/** All handlers with what waits for them, and deliveries of handlers that no process has. */
export async function handlers(view: View): Promise<Content> {
  const { spark, texts } = view;
  const known = await spark.handlers();
  const { orphans } = await spark.health();
  const gone = new Set(orphans.map(({ handler }) => handler));
  return {
    title: texts.pages.handlers,
    body: html`${table(
      texts.pages.handlers,
      columns(view),
      known.filter(({ handler }) => !gone.has(handler)),
      texts.handlers.none,
    )}
      <h2>${texts.handlers.orphans}</h2>
      <p>${texts.handlers.aboutOrphans}</p>
      ${table(texts.handlers.orphans, orphanColumns(view), orphans, texts.handlers.noOrphans)}`,
  };
}

function columns(view: View): Column<HandlerStatus>[] {
  const { texts, format } = view;
  const { states, handlers: words } = texts;
  const count = (head: string, state: string, of: (status: HandlerStatus) => number): Column<HandlerStatus> => ({
    head,
    cell: (status) => counted(view, of(status), state, status.handler),
    isNumber: true,
  });
  return [
    { head: texts.fields.handler, cell: ({ handler }) => link(handler, 'deliveries', { handler }) },
    count(words.due, 'available', ({ available }) => available),
    { head: words.oldest, cell: ({ oldest }) => format.time(oldest) },
    count(words.waiting, 'available', ({ waiting }) => waiting),
    count(states.running, 'running', ({ running }) => running),
    count(states.held, 'held', ({ held }) => held),
    count(states.discarded, 'discarded', ({ discarded }) => discarded),
    { head: words.action, cell: (status) => actsOn(view, status) },
  ];
}

const counted = ({ format }: View, count: number, state: string, handler: string): HtmlValue =>
  count === 0 ? '0' : link(format.number(count), 'deliveries', { state, handler });

function actsOn(view: View, { handler, paused }: HandlerStatus): HtmlValue {
  if (!paused) return actButton(view, 'pauseHandler', { handler });
  const since = html`<span class="badge paused">${view.texts.handlers.paused}</span> ${view.format.time(paused)}`;
  return acts(since, actButton(view, 'resumeHandler', { handler }));
}

function orphanColumns(view: View): Column<Orphans>[] {
  const { texts, format } = view;
  const { handlers: words } = texts;
  return [
    { head: texts.fields.handler, cell: ({ handler }) => link(handler, 'deliveries', { state: 'available', handler }) },
    { head: words.deliveries, cell: ({ deliveries }) => format.capped(deliveries, COUNTED), isNumber: true },
    { head: words.since, cell: ({ since }) => format.time(since) },
    { head: words.lastSeen, cell: ({ lastSeen }) => format.time(lastSeen) },
    { head: words.action, cell: ({ handler }) => askLink(view, 'discard', { state: 'available', handler }) },
  ];
}
