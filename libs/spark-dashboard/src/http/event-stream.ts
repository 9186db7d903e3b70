import type { ServerResponse } from 'node:http';
import type { Snapshot } from '../live/live-pages.js';

/** How often something is sent at least, so that proxies keep the connection, in milliseconds. */
const BEAT = 15_000;
/** How long a connection lasts. Then the browser connects again, and the guards are asked again. */
const LIFETIME = 5 * 60_000;

/** A connection that sends snapshots as server-sent events. */
export class EventStream {
  private readonly beat: NodeJS.Timeout;
  private readonly limit: NodeJS.Timeout;
  private hasEnded = false;
  private pending: Snapshot | undefined;

  /**
   * @param response whose head was sent
   * @param shown the version that the browser shows already
   * @param onEnd called once when the connection has ended
   */
  constructor(
    private readonly response: ServerResponse,
    private shown: string | undefined,
    private readonly onEnd: () => void,
  ) {
    // A comment, for proxies; and an event, by which the module knows that the connection works.
    this.beat = setInterval(() => this.write(': beat\nevent: beat\ndata:\n\n'), BEAT);
    this.limit = setTimeout(() => this.end(), LIFETIME);
    response.on('close', () => this.end());
    response.on('error', () => this.end());
    response.on('drain', () => this.pending && this.send(this.pending));
    this.write('retry: 3000\n: connected\n\n');
  }

  send({ version, html }: Snapshot): void {
    // A browser that reads slowly gets the last of them.
    this.pending = this.response.writableNeedDrain ? { version, html } : undefined;
    if (this.pending || version === this.shown) return;
    this.shown = version;
    const lines = html.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
    this.write(`id: ${version}\n${lines.join('')}\n`);
  }

  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    clearInterval(this.beat);
    clearTimeout(this.limit);
    this.onEnd();
    this.response.end();
  }

  private write(text: string): void {
    if (!this.hasEnded) this.response.write(text);
  }
}
