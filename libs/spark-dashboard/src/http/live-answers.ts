import { headerOf } from '../access/same-origin.js';
import type { LivePage, LivePages } from '../live/live-pages.js';
import type { Query } from '../view/query.js';
import { EventStream } from './event-stream.js';
import type { Responder } from './responder.js';

/** How long a request for a single snapshot waits, in milliseconds: others may come first. */
const WITHIN = 30_000;

/** Answers requests for updates of pages: with server-sent events, or with a single snapshot. */
export class LiveAnswers {
  private readonly open = new Set<EventStream>();
  private hasEnded = false;

  constructor(
    private readonly pages: LivePages,
    private readonly responder: Responder,
  ) {}

  /**
   * Answers a request.
   *
   * @param query `has`: the version that the browser shows. `now`: whether that is old.
   */
  async answer(request: unknown, response: unknown, query: Query, page: LivePage): Promise<void> {
    if (this.hasEnded) return this.responder.snapshot(response, undefined, 503);
    // After a break, the browser says which version it got last.
    const has = headerOf(request, 'last-event-id') ?? query.text('has');
    if (headerOf(request, 'accept')?.includes('text/event-stream'))
      return this.stream(response, page, query.text('now') !== undefined, has);
    const snapshot = await this.pages.next(page, WITHIN);
    const isNew = snapshot?.version !== has;
    this.responder.snapshot(response, isNew ? snapshot : undefined, snapshot ? (isNew ? 200 : 204) : 503);
  }

  /** Ends all connections. */
  end(): void {
    this.hasEnded = true;
    for (const stream of this.open) stream.end();
  }

  private stream(response: unknown, page: LivePage, isStale: boolean, has: string | undefined): void {
    let leave: (() => void) | undefined;
    const stream = new EventStream(this.responder.eventStream(response), has, () => {
      this.open.delete(stream);
      leave?.();
    });
    this.open.add(stream);
    leave = this.pages.listen(page, isStale, (snapshot) => stream.send(snapshot));
  }
}
