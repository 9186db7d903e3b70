import { SCRIPT_VERSION } from '../client/script.js';
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
  /** What tells the present content from a later one, if the page is kept up to date. */
  readonly version?: string | undefined;
}

/** What stands in `<main>`. */
export const mainOf = (heading: string, body: Html): Html => html`<h1>${heading}</h1>
${body}`;

/** A whole page. */
export function layout(frame: Frame, heading: string, body: Html): string {
  const { begin, end } = layoutParts(frame, heading);
  return `${begin}${mainOf(heading, body).text}${end}`;
}

/** A page up to its content, and what follows. */
export function layoutParts(frame: Frame, heading: string): { begin: string; end: string } {
  const { texts, title, environment, current, mayRead, version } = frame;
  const names = texts.pages as Record<string, string>;
  const items = NAVIGATION.map(
    (page) => html`<li><a href="${page}"${page === current ? CURRENT : ''}>${names[page]}</a></li>`,
  );
  const begin = html`<!doctype html>
<html lang="${texts.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${heading} · ${title}${environment !== undefined && ` · ${environment}`}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css?v=${STYLESHEET_VERSION}">
<script type="module" src="script.js?v=${SCRIPT_VERSION}"></script>
</head>
<body>
<a class="skip" href="#main">${texts.skip}</a>
<header><strong>${title}</strong>${environment !== undefined && html`<span class="badge">${environment}</span>`}${version !== undefined && updates(texts)}</header>
${mayRead && html`<nav aria-label="${texts.navigation}"><ul>${items}</ul></nav>`}
<main id="main" tabindex="-1"${version !== undefined && html` data-live="${version}"`}>`.text;
  return { begin, end: END };
}

// No white space around the content: an update compares it piece by piece.
const END = `</main>
</body>
</html>
`;

/** The button that stops updates of the page, and what there is to say of them. The module shows it. */
const updates = ({ live }: Texts): Html => html`<p class="live" hidden>
<button type="button" id="live-button" aria-pressed="true">${live.updates}</button>
<span id="live-status" role="status" data-lost="${live.lost}"></span></p>`;

const CURRENT = html` aria-current="page"`;
