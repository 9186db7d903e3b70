import { html } from '../html/html.js';
import type { Content, View } from '../view/view.js';

/** Says that there is no such thing, or no such page. */
export const notFound = ({ texts }: Pick<View, 'texts'>, words: string): Content => ({
  title: texts.errors.notFound,
  body: html`<p class="notice">${words}</p>`,
  status: 404,
});
