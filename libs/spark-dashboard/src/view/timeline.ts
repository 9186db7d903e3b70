import { html, type Html, type HtmlValue } from '../html/html.js';
import type { Format } from './format.js';

/** What happens at an instant. */
export interface Moment {
  readonly at: Date;
  readonly what: HtmlValue;
}

/**
 * Moments in their order. Those of the same instant keep the order in which they are given.
 *
 * @param now Where the past ends: the words for it, and the instant. Default: no such mark.
 */
export function timeline(format: Format, moments: readonly Moment[], now?: Moment): Html {
  const items = moments.map((moment) => ({ ...moment, kind: '' }));
  const all = now ? [...items, { ...now, kind: 'now' }] : items;
  return html`<ol class="timeline">
    ${all
      .toSorted((a, b) => a.at.getTime() - b.at.getTime())
      .map(({ at, what, kind }) => html`<li class="${kind}">${format.time(at)} ${what}</li>`)}
  </ol>`;
}
