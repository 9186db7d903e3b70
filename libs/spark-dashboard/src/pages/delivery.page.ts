import type { AttemptRecord, DeliveryRecord } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { actButton, acts, askLink, entityLink, facts, link, state, wholeError } from '../view/elements.js';
import { type Moment, timeline } from '../view/timeline.js';
import type { Content, View } from '../view/view.js';
import { notFound } from './not-found.page.js';

/** One delivery: its life with each failed attempt, and what can be done with it. */
export async function delivery(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const id = query.needed('id');
  const found = (await spark.deliveries({ deliveryId: id }, { limit: 1 })).records[0];
  if (!found) return notFound(view, texts.delivery.none(id));
  const attempts = await spark.attempts(id);
  return {
    title: texts.delivery.title(found.handler, found.event.key),
    body: html`${about(view, found)} ${actsOn(view, found)}
      <h2>${texts.delivery.life}</h2>
      ${timeline(view.format, moments(view, found, attempts))}
      ${found.error !== undefined && attempts.length === 0 && html`<h2>${texts.fields.error}</h2>${wholeError(view, found.error)}`}`,
  };
}

function about(
  view: View,
  { event, handler, state: name, attempt, priority, durationMs, fingerprint }: DeliveryRecord,
): Html {
  const { texts, format } = view;
  const { fields } = texts;
  return facts([
    [fields.state, state(view, name)],
    [fields.handler, link(handler, 'deliveries', { handler })],
    [fields.key, link(event.key, 'event', { key: event.key })],
    [fields.group, link(event.group, 'deliveries', { group: event.group })],
    [fields.entity, entityLink(event.entity, event.entityId)],
    [fields.attempt, format.number(attempt)],
    [fields.priority, format.number(priority)],
    [fields.duration, durationMs === undefined ? undefined : format.duration(durationMs)],
    [fields.fingerprint, fingerprint && link(fingerprint, 'deliveries', { fingerprint })],
  ]);
}

function actsOn(view: View, { id, state: name }: DeliveryRecord): HtmlValue {
  const parts = { deliveryId: id };
  const { one } = view.texts.actions;
  return acts(
    name === 'discarded' || name === 'available' ? actButton(view, 'retry', parts, one.retry) : undefined,
    name === 'held' ? askLink(view, 'release', parts, one.release) : undefined,
    name === 'held' || name === 'available' ? askLink(view, 'discard', parts, one.discard) : undefined,
  );
}

function moments(view: View, record: DeliveryRecord, attempts: readonly AttemptRecord[]): Moment[] {
  const { event, due, started, finished, state: name, error } = record;
  const { delivery: words } = view.texts;
  const isRunning = name === 'running' && started !== undefined;
  const waits = name === 'available' || name === 'held';
  return [
    { at: event.recorded, what: words.entered },
    ...attempts.map((attempt) => ({ at: attempt.started, what: failure(view, attempt) })),
    ...(isRunning
      ? [{ at: started, what: html`${words.runs} ${record.worker !== undefined && link(record.worker, 'workers')}` }]
      : []),
    ...(waits ? [{ at: due, what: name === 'held' ? words.held : words.due }] : []),
    ...(finished
      ? [
          {
            at: finished,
            what: html`${state(view, name)} ${name !== 'completed' && view.settings.redactor.error(error?.split('\n', 1)[0] ?? '')}`,
          },
        ]
      : []),
  ];
}

function failure(view: View, { attempt, host, pid, durationMs, error }: AttemptRecord): Html {
  const { texts, format } = view;
  const where = texts.delivery.failed(format.number(attempt), host, pid, format.duration(durationMs));
  return html`<details><summary class="wrong">${where}</summary>${wholeError(view, error)}</details>`;
}
