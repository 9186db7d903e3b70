import { html } from '../html/html.js';
import type { Content, View } from '../view/view.js';

const EXAMPLE = `SparkDashboardModule.forRoot({ guards: [AdminGuard] })
// or
SparkDashboardModule.forRoot({ access: (request) => (request.user?.isAdmin ? 'all' : false) })`;

type Words = Pick<View, 'texts'>;

/** Says that the dashboard is closed, because nobody has said who may see it. */
export const closed = ({ texts: { errors } }: Words): Content => ({
  title: errors.closed,
  body: html`<p class="notice">${errors.howToOpen}</p><pre><code>${EXAMPLE}</code></pre>`,
  status: 403,
});

/** Says that this request may not see the dashboard. */
export const refused = ({ texts: { errors } }: Words): Content => ({
  title: errors.denied,
  body: html`<p class="notice wrong">${errors.readDenied}</p>`,
  status: 403,
});

/** Says that an action did not come from a page of the dashboard. */
export const crossOrigin = ({ texts: { errors } }: Words): Content => ({
  title: errors.denied,
  body: html`<p class="notice wrong">${errors.crossOrigin}</p>`,
  status: 403,
});
