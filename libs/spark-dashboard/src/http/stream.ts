import type { ServerResponse } from 'node:http';
import { html } from '../html/html.js';
import { type Content, progressLine, type Work } from '../view/work.js';

/** How a page of work is answered. */
export interface WorkAnswer {
  /** Answers with a whole page, if the work has taken no time. */
  readonly whole: (content: Content) => void;
  /** Begins an answer that is sent piece by piece. */
  readonly begin: () => ServerResponse;
  /** The page up to its content, and what follows. */
  readonly frame: { readonly begin: string; readonly end: string };
  /** Ends the work when the browser has gone. */
  readonly onLeft: (left: () => void) => void;
  /** What is shown of an error. */
  readonly failed: (error: unknown) => Content;
}

/** Work that takes less is shown as any page, in milliseconds. */
const PATIENCE = 1_000;
/** How often a line of progress is sent at most, in milliseconds. */
const LINES_EVERY = 500;

/**
 * Runs work, and answers with what comes of it. If it takes long, the page is sent meanwhile: its frame, a line for each step of the progress, and
 * in the end the content. That needs no script, and no memory of the process when the page is closed: closing it ends the work.
 *
 * @param ending aborted when the application stops
 * @returns a promise that resolves when the answer has begun
 */
export async function answerWork(work: Work, answer: WorkAnswer, ending: AbortSignal): Promise<void> {
  const left = new AbortController();
  answer.onLeft(() => left.abort());
  const signal = AbortSignal.any([left.signal, ending]);
  const lines = new ProgressLines(work);
  const running = work.run({ signal, tell: (...line) => lines.tell(...line) });
  const ended = running.catch((error: unknown) => (left.signal.aborted ? undefined : answer.failed(error)));
  const isSoon = await Promise.race([ended.then(() => true), rest(PATIENCE)]);
  if (isSoon) {
    const content = await ended;
    if (content && !left.signal.aborted) answer.whole(content);
    return;
  }
  if (left.signal.aborted) return;
  const response = answer.begin();
  const { begin, end } = answer.frame;
  response.write(begin + html`<h1>${work.title}</h1>`.text);
  lines.to(response);
  // The answer has begun, so whoever waits for it need not wait for its end.
  void complete(response, ended, end);
}

async function complete(response: ServerResponse, ended: Promise<Content | undefined>, end: string): Promise<void> {
  const content = await ended;
  if (response.writableEnded || response.destroyed) return;
  response.end(html`<div class="ended">${content?.body}</div>`.text + end);
}

/** Sends lines of progress, not too often. */
class ProgressLines {
  private response: ServerResponse | undefined;
  private last = '';
  private sentAt = 0;

  constructor(private readonly work: Work) {}

  tell(words: string, done?: number, total?: number): void {
    this.last = progressLine(words, this.work.stop, done, total).text;
    this.send();
  }

  to(response: ServerResponse): void {
    this.response = response;
    this.last ||= progressLine('…', this.work.stop).text;
    this.send();
  }

  private send(): void {
    const now = performance.now();
    const { response } = this;
    if (!response || response.writableEnded || response.writableNeedDrain || now - this.sentAt < LINES_EVERY) return;
    this.sentAt = now;
    response.write(this.last);
  }
}

const rest = (ms: number): Promise<false> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(false), ms).unref();
  });
