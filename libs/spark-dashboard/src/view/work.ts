import { html, type Html } from '../html/html.js';

/** What a page shows. */
export interface Content {
  readonly title: string;
  readonly body: Html;
  /** The status of the answer. Default: 200. */
  readonly status?: number;
}

/** How work tells how far it is, and learns that nobody waits for it any more. */
export interface Progress {
  /** Shows how far the work is. */
  readonly tell: (words: string, done?: number, total?: number) => void;
  /** Aborted when the person leaves the page, and when the application stops. */
  readonly signal: AbortSignal;
}

/** Work that takes as long as it takes. Its page shows how far it is, and in the end what came of it. */
export class Work {
  constructor(
    readonly title: string,
    /** The link that leaves the page, and so ends the work. */
    readonly stop: Html,
    readonly run: (progress: Progress) => Promise<Content>,
  ) {}
}

/** One line of progress. The stylesheet shows the last one only. */
export function progressLine(words: string, stop: Html, done?: number, total?: number): Html {
  const isKnown = done !== undefined && total !== undefined && total > 0;
  const bar =
    isKnown && html`<progress max="${total}" value="${Math.min(done, total)}" aria-label="${words}"></progress>`;
  return html`<div class="progress"><p role="status">${words}</p>${bar}<p>${stop}</p></div>`;
}
