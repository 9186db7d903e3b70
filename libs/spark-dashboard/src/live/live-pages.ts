import { createHash } from 'node:crypto';
import { Logger } from '@nestjs/common';
import type { SparkService } from 'nestjs-spark';
import { stackOf } from '../view/stack-of.js';
import { sharedReads } from './shared-reads.js';

/** What a page shows at a time. */
export interface Snapshot {
  /** What tells it from other snapshots. */
  readonly version: string;
  readonly html: string;
}

/** Reads what a page shows. */
export type Render = (spark: SparkService) => Promise<string>;

/** A page that somebody looks at: its address, and what else it depends on, which is the language and what the person may do. */
export interface LivePage {
  readonly address: string;
  readonly variant: string;
  readonly render: Render;
}

/** Gets each new snapshot of a page. */
export type Listener = (snapshot: Snapshot) => void;

interface Variant {
  readonly render: Render;
  readonly listeners: Set<Listener>;
  last: Snapshot | undefined;
}

/** An address with all its variants. They share what is read. */
interface Address {
  readonly variants: Map<string, Variant>;
  /** When it was read last, by `performance.now()`. */
  readAt: number;
  failures: number;
}

/** How often a page is read at most, in milliseconds. */
const INTERVAL = 5_000;
/** The rest after each read of a page, in milliseconds: however many pages are open, the database has no more to do. */
const PAUSE = 2_500;
const MOST_FAILURES = 5;

/** The version of what a page shows. */
export const versionOf = (html: string): string => createHash('sha256').update(html).digest('base64url').slice(0, 16);

/**
 * Reads pages again as long as somebody looks at them, one after the other. All who look at the same page of this process share one read, and
 * get what has changed.
 */
export class LivePages {
  private readonly logger = new Logger('Spark');
  private readonly addresses = new Map<string, Address>();
  private timer: NodeJS.Timeout | undefined;
  private isReading = false;
  private restUntil = 0;
  private hasEnded = false;

  constructor(private readonly spark: () => SparkService) {}

  /**
   * Begins to keep a page up to date.
   *
   * @param isStale whether the page that is shown is old, so that it is read soon
   * @returns a function that ends it
   */
  listen({ address, variant, render }: LivePage, isStale: boolean, listener: Listener): () => void {
    const now = performance.now();
    let page = this.addresses.get(address);
    if (!page) this.addresses.set(address, (page = { variants: new Map(), readAt: now, failures: 0 }));
    let own = page.variants.get(variant);
    if (!own) page.variants.set(variant, (own = { render, listeners: new Set(), last: undefined }));
    if (isStale && !own.last) page.readAt = Math.min(page.readAt, now - INTERVAL);
    own.listeners.add(listener);
    if (own.last) listener(own.last);
    this.plan();
    return () => this.leave(address, variant, listener);
  }

  /** The next snapshot of a page, soon; undefined if there is none within a time, in milliseconds. */
  next(page: LivePage, within: number): Promise<Snapshot | undefined> {
    return new Promise((resolve) => {
      let stop: (() => void) | undefined;
      let isOver = false;
      const over = (snapshot: Snapshot | undefined) => {
        isOver = true;
        clearTimeout(timer);
        stop?.();
        resolve(snapshot);
      };
      const timer = setTimeout(() => over(undefined), within);
      stop = this.listen(page, true, over);
      if (isOver) stop();
    });
  }

  /** Stops reading. */
  end(): void {
    this.hasEnded = true;
    clearTimeout(this.timer);
    this.addresses.clear();
  }

  private leave(address: string, variant: string, listener: Listener): void {
    const page = this.addresses.get(address);
    const own = page?.variants.get(variant);
    own?.listeners.delete(listener);
    if (own?.listeners.size === 0) page!.variants.delete(variant);
    if (page?.variants.size === 0) this.addresses.delete(address);
    this.plan();
  }

  /** Plans the next read, if any page is open. */
  private plan(): void {
    clearTimeout(this.timer);
    const [first] = [...this.addresses].sort(([, a], [, b]) => dueAt(a) - dueAt(b));
    if (!first || this.isReading || this.hasEnded) return;
    const [address, page] = first;
    const wait = Math.max(dueAt(page), this.restUntil) - performance.now();
    this.timer = setTimeout(() => void this.read(address, page), Math.max(0, wait));
    this.timer.unref();
  }

  private async read(address: string, page: Address): Promise<void> {
    this.isReading = true;
    const spark = sharedReads(this.spark());
    try {
      for (const variant of page.variants.values()) await show(variant, spark);
      page.failures = 0;
    } catch (error) {
      if (page.failures === 0)
        this.logger.error(`The page ${address} of the dashboard cannot be updated.`, stackOf(error));
      page.failures = Math.min(page.failures + 1, MOST_FAILURES);
    }
    page.readAt = performance.now();
    this.restUntil = page.readAt + PAUSE;
    this.isReading = false;
    this.plan();
  }
}

const dueAt = ({ readAt, failures }: Address): number => readAt + INTERVAL * 2 ** failures;

async function show(variant: Variant, spark: SparkService): Promise<void> {
  const html = await variant.render(spark);
  const version = versionOf(html);
  if (version === variant.last?.version) return;
  variant.last = { version, html };
  for (const listener of variant.listeners) listener(variant.last);
}
