import { actIn, isBulk, type Act, type BulkAction } from '../acts/act.js';
import { audited } from '../acts/audit.js';
import { type BulkResult, changeAll, countOf } from '../acts/bulk.js';
import { perform } from '../acts/perform.js';
import { address } from '../html/address.js';
import { html, type Html } from '../html/html.js';
import { BadRequestError } from '../view/bad-request.error.js';
import { facts, link } from '../view/elements.js';
import { DELIVERY_PARTS } from '../view/query.js';
import type { Content, View } from '../view/view.js';

/** Where to go after an action, or what to show. */
export type Outcome = Content | { readonly to: string };

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
    body: html`${about(view, asked)}
      <p class="notice">${question} ${result.count > 0 && texts.act.warning[asked.action]}</p>
      ${result.count > 0 && confirmation(view, asked)}
      <p>${back(asked, texts.act.cancel)}</p>`,
  };
}

/** Does an action. */
export async function act(view: View): Promise<Outcome> {
  const asked = actIn(view.query);
  const { query, settings, spark, texts } = view;
  if (!view.permission.may(asked.action)) return denied(view);
  if (!isBulk(asked)) return { to: await perform(view, asked) };
  const result = await audited(view, asked, () => changeAll(spark, asked, query, settings.actTime));
  const { deliveryId } = asked.about;
  if (deliveryId !== undefined && result.isComplete) return { to: address('delivery', { id: deliveryId }) };
  return {
    title: texts.actions[asked.action],
    body: html`${about(view, asked)}
      <p class="notice done" role="status">${texts.act.done[asked.action](view.format.number(result.count))}</p>
      ${!result.isComplete && (await rest(view, asked))}
      <p>${back(asked, texts.act.back)}</p>`,
  };
}

/** How many deliveries are left, and the button that goes on. */
async function rest(view: View, asked: Act<BulkAction>): Promise<Html | undefined> {
  const left = await countOf(view.spark, asked, view.query);
  if (left.count === 0) return undefined;
  return html`<p class="notice">${view.texts.act.left(amount(view, left))}</p>${confirmation(view, asked, view.texts.act.goOn)}`;
}

const amount = ({ format, texts }: View, { count, isComplete }: BulkResult): string =>
  isComplete ? format.number(count) : texts.act.atLeast(format.number(count));

function confirmation({ texts }: View, { action, about: parts }: Act, text = texts.actions[action]): Html {
  return html`<form method="post" action="${address('act', { do: action, ...parts })}">
    <button class="${action === 'discard' ? 'danger' : ''}">${text}</button>
  </form>`;
}

function about({ texts }: View, { about: parts }: Act): Html {
  const names = texts.fields as Record<string, string>;
  const pairs = Object.entries(parts).map(([name, value]) => [names[name] ?? name, value] as const);
  return pairs.length === 0 ? html`<p>${texts.act.all}</p>` : facts(pairs);
}

function back({ about: parts }: Act, text: string): Html {
  const { deliveryId } = parts;
  if (deliveryId !== undefined) return link(text, 'delivery', { id: deliveryId });
  const filter = Object.entries(parts).filter(([name]) => (DELIVERY_PARTS as readonly string[]).includes(name));
  return link(text, 'deliveries', Object.fromEntries(filter));
}

const denied = ({ texts }: View): Content => ({
  title: texts.errors.denied,
  body: html`<p class="notice wrong">${texts.errors.actDenied}</p>`,
  status: 403,
});
