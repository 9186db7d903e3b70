import type { SourceStatus } from 'nestjs-spark';
import { html, type HtmlValue } from '../html/html.js';
import { actButton, acts, type Column, table } from '../view/elements.js';
import type { Content, View } from '../view/view.js';

/** The sweeps of each source: how far they are, what they found, and what can be done. */
export async function sweeps(view: View): Promise<Content> {
  const { spark, texts } = view;
  const sources = await spark.sources();
  return {
    title: texts.pages.sweeps,
    body: html`<p>${texts.sweeps.about}</p>
      ${table(texts.pages.sweeps, columns(view), sources, texts.sweeps.none, ({ source }) => source)}`,
  };
}

function columns(view: View): Column<SourceStatus>[] {
  const { texts, format } = view;
  const { sweeps: words, fields } = texts;
  return [
    { head: fields.source, cell: ({ source }) => source },
    { head: fields.entity, cell: ({ entity }) => entity ?? words.elsewhere },
    { head: words.state, cell: (source) => stateOf(view, source) },
    { head: words.progress, cell: (source) => progress(view, source) },
    { head: words.finished, cell: ({ finished }) => format.time(finished) },
    { head: words.found, cell: ({ foundBySweep }) => format.number(foundBySweep), isNumber: true },
    { head: words.missed, cell: ({ missed }) => format.number(missed), isNumber: true },
    { head: words.action, cell: (source) => actsOn(view, source) },
  ];
}

function stateOf({ texts: { sweeps: words }, format, sweeps: watch }: View, source: SourceStatus): HtmlValue {
  const { paused, sweeping, entity } = source;
  const failed = entity !== undefined && watch.hasFailed(entity) && html`<span class="wrong">${words.failed}</span>`;
  if (paused) return html`<span class="badge paused">${words.paused}</span> ${format.time(paused)} ${failed}`;
  if (!sweeping) return html`${words.idle} ${failed}`;
  return html`<span class="badge">${sweeping.running ? words.running : words.waits}</span> ${format.time(sweeping.since)} ${failed}`;
}

function progress(
  { texts: { sweeps: words }, format, sweeps: watch }: View,
  { source, sweeping }: SourceStatus,
): HtmlValue {
  const here = watch.progressOf(source);
  if (!here) return sweeping ? words.rows(format.number(sweeping.passed)) : '–';
  const { passed, total, rate, timeLeft } = here;
  return html`${total !== undefined && total > 0 && html`<meter min="0" max="${total}" value="${Math.min(passed, total)}" aria-label="${words.progress}"></meter>`}
    ${words.rows(format.number(passed))} ${total !== undefined && words.of(format.number(total))}, ${words.rate(format.number(Math.round(rate)))}
    ${timeLeft !== undefined && words.left(format.duration(timeLeft))}`;
}

function actsOn(view: View, { source, entity, paused }: SourceStatus): HtmlValue {
  const isStartable = entity !== undefined && !paused && !view.sweeps.isRunning(entity);
  return acts(
    isStartable ? actButton(view, 'sweep', { entity }) : undefined,
    paused ? actButton(view, 'resumeSweep', { source }) : actButton(view, 'pauseSweep', { source }),
  );
}
