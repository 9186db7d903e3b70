import type { HandlerLimits, HandlerStatus, Orphans } from 'nestjs-spark';
import { html, type HtmlValue } from '../html/html.js';
import { actButton, acts, askLink, type Column, link, table } from '../view/elements.js';
import { type Content, COUNTED, type View } from '../view/view.js';

/** All handlers with what waits for them and their limits, and deliveries of handlers that no process has. */
export async function handlers(view: View): Promise<Content> {
  const { spark, texts } = view;
  const known = await spark.handlers({ countUpTo: COUNTED });
  const { orphans, now } = await spark.health();
  const gone = new Set(orphans.map(({ handler }) => handler));
  const there = known.filter(({ handler }) => !gone.has(handler));
  const { handlers: words, pages } = texts;
  const keyOf = ({ handler }: { handler: string }) => handler;
  return {
    title: pages.handlers,
    body: html`${table(pages.handlers, columns(view, there), there, words.none, keyOf)}
      <h2>${words.limits}</h2>
      <p>${words.aboutLimits}</p>
      ${table(words.limits, limitColumns(view, now), there, words.none, keyOf)}
      <h2>${words.orphans}</h2>
      <p>${words.aboutOrphans}</p>
      ${table(words.orphans, orphanColumns(view), orphans, words.noOrphans, keyOf)}`,
  };
}

function columns(view: View, all: readonly HandlerStatus[]): Column<HandlerStatus>[] {
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
    count(words.waiting, 'available', ({ waiting, dispatched }) => waiting - dispatched),
    // Most applications have no carrier.
    ...(all.some(({ dispatched }) => dispatched > 0)
      ? [count(words.dispatched, 'available', ({ dispatched }) => dispatched)]
      : []),
    count(states.running, 'running', ({ running }) => running),
    count(states.held, 'held', ({ held }) => held),
    count(states.discarded, 'discarded', ({ discarded }) => discarded),
    { head: words.action, cell: (status) => actsOn(view, status) },
  ];
}

const counted = ({ format }: View, count: number, state: string, handler: string): HtmlValue =>
  count === 0 ? '0' : link(format.capped(count, COUNTED), 'deliveries', { state, handler });

function actsOn(view: View, { handler, paused }: HandlerStatus): HtmlValue {
  if (!paused) return actButton(view, 'pauseHandler', { handler });
  const since = html`<span class="badge paused">${view.texts.handlers.paused}</span> ${view.format.time(paused)}`;
  return acts(since, actButton(view, 'resumeHandler', { handler }));
}

function limitColumns(view: View, now: Date): Column<HandlerStatus>[] {
  const { texts, format } = view;
  const { fields, handlers: words } = texts;
  // The day stays the same while the page is updated.
  const from = `${now.toISOString().slice(0, 10)}T00:00`;
  return [
    { head: fields.handler, cell: ({ handler }) => handler },
    { head: words.pattern, cell: ({ patterns }) => patterns.map((pattern) => html`<code>${pattern}</code> `) },
    { head: fields.priority, cell: ({ limits }) => limits && format.number(limits.priority), isNumber: true },
    { head: words.concurrency, cell: ({ limits }) => limits && concurrency(view, limits) },
    { head: words.rate, cell: ({ limits }) => limits && rate(view, limits) },
    { head: words.timeout, cell: ({ limits }) => limits && format.duration(limits.timeoutMs) },
    { head: words.maxAttempts, cell: ({ limits }) => limits && format.number(limits.maxAttempts), isNumber: true },
    { head: words.how, cell: ({ limits }) => (limits ? how(view, limits) : words.elsewhere) },
    {
      head: words.action,
      cell: ({ handler, limits }) => limits && askLink(view, 'replay', { handler, from }, words.replay),
    },
  ];
}

function concurrency(
  { texts: { handlers: words }, format }: View,
  { concurrency: own, fleetConcurrency }: HandlerLimits,
): HtmlValue {
  const here = own === undefined ? words.shared : format.number(own);
  return fleetConcurrency === undefined ? here : words.ofFleet(here, format.number(fleetConcurrency));
}

function rate({ texts: { handlers: words }, format }: View, { rateLimit }: HandlerLimits): HtmlValue {
  if (!rateLimit) return '–';
  return words.rateOf(format.number(rateLimit.max), format.duration(rateLimit.perMs), rateLimit.key);
}

function how({ texts: { handlers: words } }: View, limits: HandlerLimits): HtmlValue {
  const { transactional, revalidate, partitionBy } = limits;
  const parts = [
    transactional && words.transactional,
    revalidate && words.revalidates,
    partitionBy !== undefined && words.fairBy(partitionBy),
  ];
  return parts.filter((part) => part !== false).join(', ') || '–';
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
