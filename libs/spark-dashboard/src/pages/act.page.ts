import { actIn, COUNTED_BEFORE, isBulk, type Act, type BulkAction } from '../acts/act.js';
import { audited } from '../acts/audit.js';
import { type BulkResult, changeAll, countOf } from '../acts/bulk.js';
import { perform } from '../acts/perform.js';
import { address } from '../html/address.js';
import { html, type Html, type HtmlValue } from '../html/html.js';
import { BadRequestError } from '../view/bad-request.error.js';
import { facts, link } from '../view/elements.js';
import { eventFields, filterForm } from '../view/lists.js';
import { DELIVERY_PARTS } from '../view/query.js';
import type { Content, View } from '../view/view.js';
import { Work } from '../view/work.js';

/** Where to go after an action, or what to show. */
export type Outcome = Content | Work | { readonly to: string };

/** Counts what an action would change, and asks whether to do it. */
export async function ask(view: View): Promise<Content> {
  const asked = actIn(view.query);
  const { texts, spark, query } = view;
  if (!view.permission.may(asked.action)) return denied(view);
  if (!isBulk(asked)) throw new BadRequestError(`${asked.action} needs no confirmation. Use the button of its page.`);
  const result = await countOf(spark, asked, query);
  const count = amount(view, result);
  const question = result.count === 0 ? texts.act.nothing : texts.act.question[asked.action](count);
  return {
    title: texts.actions[asked.action],
    body: html`${about(view, asked)} ${asked.action === 'replay' && replayForm(view, asked)}
      <p class="notice">${question} ${result.count > 0 && texts.act.warning[asked.action]}</p>
      ${result.count > 0 && confirmation(view, asked, result)}
      <p>${back(asked, texts.act.cancel)}</p>`,
  };
}

/** Does an action. */
export async function act(view: View): Promise<Outcome> {
  const asked = actIn(view.query);
  if (!view.permission.may(asked.action)) return denied(view);
  if (!isBulk(asked)) return { to: await perform(view, asked) };
  return isOne(asked) ? doOne(view, asked) : doAll(view, asked);
}

const isOne = ({ about: { deliveryId } }: Act): boolean => deliveryId !== undefined;

/** An action on one delivery, which takes no time. */
async function doOne(view: View, asked: Act<BulkAction>): Promise<Outcome> {
  const { settings, spark, query } = view;
  const all = { signal: new AbortController().signal };
  await audited(view, asked, () => changeAll(spark, asked, query, settings.actTime, all, () => {}));
  return { to: address('delivery', { id: asked.about.deliveryId }) };
}

/** An action on many deliveries. It goes on as long as its page is open, and tells how far it is. */
function doAll(view: View, asked: Act<BulkAction>): Work {
  const { query, settings, spark, texts, format } = view;
  const total = query.number(COUNTED_BEFORE, 0, 999_999_999);
  const title = texts.actions[asked.action];
  return new Work(title, back(asked, texts.act.stop), async ({ tell, signal }) => {
    const onProgress = (done: number) => tell(texts.act.done[asked.action](format.number(done)), done, total);
    const work = () => changeAll(spark, asked, query, settings.actTime, { signal }, onProgress);
    const result = await audited(view, asked, work);
    return {
      title,
      body: html`${about(view, asked)}
        <p class="notice done" role="status">${texts.act.done[asked.action](format.number(result.count))}</p>
        ${!result.isComplete && !signal.aborted && (await rest(view, asked))}
        <p>${back(asked, texts.act.back)}</p>`,
    };
  });
}

/** How many deliveries are left, and the button that goes on. */
async function rest(view: View, asked: Act<BulkAction>): Promise<Html | undefined> {
  const left = await countOf(view.spark, asked, view.query);
  if (left.count === 0) return undefined;
  const text = view.texts.act.goOn;
  return html`<p class="notice">${view.texts.act.left(amount(view, left))}</p>${confirmation(view, asked, left, text)}`;
}

const amount = ({ format, texts }: View, { count, isComplete }: BulkResult): string =>
  isComplete ? format.number(count) : texts.act.atLeast(format.number(count));

function confirmation(
  { texts }: View,
  { action, about: parts }: Act,
  { count, isComplete }: BulkResult,
  text = texts.actions[action],
): Html {
  const of = isComplete ? { [COUNTED_BEFORE]: count } : {};
  return html`<form method="post" action="${address('act', { do: action, ...parts, ...of })}">
    <button class="${action === 'discard' ? 'danger' : ''}">${text}</button>
  </form>`;
}

/** The form that chooses which events are replayed. */
function replayForm(view: View, { about: { handler } }: Act): HtmlValue {
  const { texts } = view;
  const repeat = [['true', texts.act.repeat]] as const;
  const fields = [...eventFields(view), { name: 'repeat', label: texts.fields.repeat, choices: repeat }];
  return filterForm(view, 'act', fields, texts.act.count, { do: 'replay', handler: handler! });
}

function about({ texts }: View, { about: parts }: Act): Html {
  const names = texts.fields as Record<string, string>;
  const pairs = Object.entries(parts).map(([name, value]) => [names[name] ?? name, value] as const);
  return pairs.length === 0 ? html`<p>${texts.act.all}</p>` : facts(pairs);
}

function back({ action, about: parts }: Act, text: string): Html {
  const { deliveryId } = parts;
  if (deliveryId !== undefined) return link(text, 'delivery', { id: deliveryId });
  if (action === 'replay') return link(text, 'handlers');
  const filter = Object.entries(parts).filter(([name]) => (DELIVERY_PARTS as readonly string[]).includes(name));
  return link(text, 'deliveries', Object.fromEntries(filter));
}

const denied = ({ texts }: View): Content => ({
  title: texts.errors.denied,
  body: html`<p class="notice wrong">${texts.errors.actDenied}</p>`,
  status: 403,
});
