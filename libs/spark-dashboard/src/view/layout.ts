import { html, type Html } from '../html/html.js';
import { STYLESHEET_VERSION } from '../html/stylesheet.js';
import type { Texts } from '../texts/en.js';

/** The pages in the navigation, in their order. The overview is `./`. */
export const NAVIGATION = [
  './',
  'events',
  'deliveries',
  'errors',
  'entity',
  'plan',
  'held',
  'sweeps',
  'handlers',
  'workers',
] as const;

/** What is the same on all pages. */
export interface Frame {
  readonly texts: Texts;
  readonly title: string;
  readonly environment: string | undefined;
  /** The page that is shown. */
  readonly current: string;
  /** Whether the pages may be read, so that there is a navigation. */
  readonly mayRead: boolean;
}

/** A whole page. */
export function layout({ texts, title, environment, current, mayRead }: Frame, heading: string, body: Html): string {
  const names = texts.pages as Record<string, string>;
  const items = NAVIGATION.map(
    (page) => html`<li><a href="${page}"${page === current ? CURRENT : ''}>${names[page]}</a></li>`,
  );
  return html`<!doctype html>
<html lang="${texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${heading} · ${title}${environment !== undefined && ` · ${environment}`}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css?v=${STYLESHEET_VERSION}">
</head>
<body>
<a class="skip" href="#main">${texts.skip}</a>
<header><strong>${title}</strong>${environment !== undefined && html`<span class="badge">${environment}</span>`}</header>
${mayRead && html`<nav aria-label="${texts.navigation}"><ul>${items}</ul></nav>`}
<main id="main" tabindex="-1">
<h1>${heading}</h1>
${body}
</main>
</body>
</html>
`.text;
}

const CURRENT = html` aria-current="page"`;
