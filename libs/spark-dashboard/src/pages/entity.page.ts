import type { ExplainedSource, Explanation, YieldedEvent } from 'nestjs-spark';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { type Column, link, state, table } from '../view/elements.js';
import { filterForm } from '../view/lists.js';
import { type Moment, timeline } from '../view/timeline.js';
import type { Content, View } from '../view/view.js';

/** An entity: its past and its future, and why something did or did not happen. */
export async function entity(view: View): Promise<Content> {
  const { query, spark, texts } = view;
  const known = (await spark.sources()).map((source) => source.entity).filter((name) => name !== undefined);
  const { fields } = texts;
  const form = filterForm(
    view,
    'entity',
    [
      { name: 'type', label: fields.entity, known: [...new Set(known)], isNeeded: true },
      { name: 'id', label: fields.id, isNeeded: true },
    ],
    texts.entity.explain,
  );
  const type = query.text('type');
  if (type === undefined || query.text('id') === undefined)
    return { title: texts.pages.entity, body: html`<p>${texts.entity.about}</p>${form}` };
  const explanation = await spark.explain(type, query.id());
  const { now } = await spark.health();
  return {
    title: `${explanation.entity} ${explanation.id}`,
    body: html`${form} ${!explanation.exists && html`<p class="notice">${texts.entity.gone}</p>`}
      <h2>${texts.entity.timeline}</h2>
      ${timeline(view.format, moments(view, explanation), { at: now, what: texts.entity.now })}
      <h2>${texts.entity.sources}</h2>
      ${explanation.sources.map((source) => yielded(view, source))}
      <h2>${texts.entity.why}</h2>
      <ul lang="en">${explanation.words.map((words) => html`<li>${view.settings.redactor.error(words)}</li>`)}</ul>
      <p>${link(texts.entity.events, 'events', { entity: type, id: query.text('id') })}</p>`,
  };
}

function moments(view: View, { events, rechecks, sources }: Explanation): Moment[] {
  const { texts } = view;
  const past = events.map(({ key, source, recorded, deliveries }) => ({
    at: recorded,
    what: html`${link(key, 'event', { key })} ${texts.entity.entered(source)}
      <ul>${deliveries.map((delivery) => html`<li>${delivery.handler} ${state(view, delivery.state)} ${view.format.time(delivery.finished ?? delivery.due)}</li>`)}</ul>`,
  }));
  const entered = new Set(events.map(({ key }) => key));
  const future = sources.flatMap((source) =>
    source.events
      .filter(({ verdict, at, key }) => verdict === 'later' && at !== undefined && !entered.has(key))
      .map(({ key, at }) => ({ at: at!, what: texts.entity.becomesTrue(key, source.source) })),
  );
  return [...past, ...future, ...rechecks.map(({ due }) => ({ at: due, what: texts.entity.recheck }))];
}

function yielded(view: View, source: ExplainedSource): Html {
  const { texts, format } = view;
  const { fields } = texts;
  const columns: Column<YieldedEvent>[] = [
    { head: fields.key, cell: ({ key }) => key },
    { head: fields.group, cell: ({ group }) => group },
    { head: texts.entity.verdict, cell: ({ verdict }) => texts.verdicts[verdict] },
    { head: fields.at, cell: ({ at }) => format.time(at) },
    { head: texts.entity.reason, cell: ({ reason }) => reasonOf(view, reason) },
  ];
  return html`${source.error !== undefined && html`<p class="notice wrong">${source.source}: ${view.settings.redactor.error(source.error)}</p>`}
    <h3>${source.source}</h3>
    ${table(source.source, columns, source.events, texts.entity.yieldsNothing(source.source, source.isAbout))}`;
}

const reasonOf = ({ settings }: View, reason: string | undefined): HtmlValue =>
  reason === undefined ? '' : settings.redactor.error(reason);
