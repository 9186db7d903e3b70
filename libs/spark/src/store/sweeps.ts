import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { Transactions } from '../database/transactions.js';
import type { NewRange, SweepRange, SweepRanges } from './sweep-ranges.js';
import { AT_START, ENDED, isOfPreviousRelease, SHARED, type SweepRow, type SweepRows } from './sweep-rows.js';
import type { SweepRound, SweepShare, SweepTicket, Taken } from './sweep-ticket.js';

const TRIES = 20;
/** In milliseconds. */
const PAUSE = 25;
/** How many rows a range has. */
const ROWS = 5_000;
/** How many rows a range has in a sweep of changed rows: the server passes over most of them. */
const ROWS_PASSED_OVER = 50_000;

/**
 * The sweeps of sources. All processes that sweep a source at the same time share one sweep: each takes one range of keys after the other.
 * A range is handed out when it is taken, so nothing has to be known of a table beforehand. The lock of the source's row orders this,
 * for the time of a few statements.
 */
export class Sweeps {
  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly rows: SweepRows,
    readonly ranges: SweepRanges,
    /** How long a range belongs to a process that does not extend it, in milliseconds. */
    private readonly ttl: number,
  ) {}

  /** Takes a range of a source. It joins the sweep that is running, or begins one if the request needs it. */
  async take(ticket: SweepTicket, now: number): Promise<Taken> {
    for (let tries = 1; ; tries++) {
      const taken = await this.transactions.run((manager) => this.tryToTake(manager, ticket, now));
      if (taken !== 'locked') ticket.lockedSince = undefined;
      if (taken === 'over') continue;
      if (taken !== 'locked') return taken;
      ticket.lockedSince ??= performance.now();
      if (tries >= TRIES) return performance.now() - ticket.lockedSince > this.ttl ? 'elsewhere' : 'wait';
      await delay(PAUSE);
    }
  }

  /** Takes some of the keys for this process alone, beside all sweeps. No sweep of the source ends while such a call is running. */
  async takeApart(source: string): Promise<SweepShare> {
    for (;;) {
      const share = await this.transactions.run(async (manager) => {
        const row = await this.rows.waitForLock(manager, source);
        // Deliveries that are opened as held while a sweep ends would stay held.
        if (await this.ranges.isEnding(manager, source)) return undefined;
        const range = await this.ranges.add(manager, source, { ...NO_KEYS, state: 'apart' });
        return { range, round: { ...roundOf(row), baseline: false, changedSince: undefined } };
      });
      if (share) return share;
      await delay(PAUSE);
    }
  }

  /** Ends a range that was swept. Throws LostSweep. */
  async complete(range: SweepRange): Promise<void> {
    await this.transactions.run(async (manager) => {
      const { source, state, hindrance = null } = range;
      const found = await this.ranges.found(manager, range);
      const passed = state === 'apart' ? 0 : (range.size ?? range.subjects);
      const changes = `found = found + :found, passed = passed + :passed, hindrance = COALESCE(hindrance, :hindrance)`;
      await this.rows.change(manager, source, changes, { found, passed, hindrance });
      await this.ranges.remove(manager, range);
    });
  }

  /** Marks a range as failed. The other ranges are still swept, and then the sweep ends without its end being stored. */
  async fail(range: SweepRange): Promise<void> {
    await this.ranges.fail(this.dataSource.manager, range);
  }

  /** Gives ranges back, so that any process can take them at once. */
  async giveBack(ranges: readonly SweepRange[]): Promise<void> {
    for (const range of ranges) await this.ranges.leave(this.dataSource.manager, range);
  }

  /** Gives ranges back. If ranges have failed and no process is sweeping any more, the next sweep begins at the start. */
  async leave(source: string, ranges: readonly SweepRange[]): Promise<void> {
    await this.transactions.run(async (manager) => {
      await this.rows.waitForLock(manager, source);
      for (const range of ranges) await this.ranges.leave(manager, range);
      const { failed, live } = await this.ranges.count(manager, source);
      if (failed > 0 && live === 0) await this.abort(manager, source);
    });
  }

  /** Stores in a transaction that a sweep has reached the end of the table. Throws LostSweep. */
  async finish(manager: EntityManager, range: SweepRange, now: number): Promise<void> {
    const changes = `swept_at = began_at, finished_at = :now, swept_round = round,
      full_at = CASE WHEN changed_since IS NULL THEN began_at ELSE full_at END,
      boundary = next_boundary, ${ENDED}`;
    await this.rows.change(manager, range.source, changes, { now });
    await this.ranges.remove(manager, range);
  }

  /** Keeps the ranges of this process, and keeps the previous release away from the source. */
  async extend(source: string): Promise<void> {
    await this.ranges.extend(this.dataSource.manager, source);
    await this.rows.keep(this.dataSource.manager, source);
  }

  private async tryToTake(manager: EntityManager, ticket: SweepTicket, now: number): Promise<Taken | Retried> {
    const { source, request, fingerprint } = ticket;
    const row = await this.rows.lock(manager, source, request.slot);
    if (!row) return 'locked';
    const round = Number(row.round);
    const isRunning = row.began_at !== null;
    if (ticket.target !== undefined && Number(row.swept_round) >= ticket.target) return 'done';
    if (ticket.target !== undefined && round >= ticket.target && !isRunning) return 'failed';
    if (row.paused_at !== null) return 'paused';
    if (Number(row.is_old) === 1) return 'elsewhere';
    const isShared = isRunning && !isOfPreviousRelease(row) && row.fingerprint === fingerprint;
    if (request.helps) return isShared ? this.shareOfHelper(manager, ticket, row) : 'elsewhere';
    const isLive = isRunning && (await this.ranges.count(manager, source)).live > 0;
    // A sweep that another version has left half-way does not count for its slot.
    const isSwept = Number(row.is_past) === 1 && !isShared && (isLive || !isRunning);
    if (ticket.target === undefined && isSwept) return 'swept';
    const joins = isShared && !(request.baseline && round < (ticket.target ?? Infinity));
    if (isLive && !joins) return 'elsewhere';
    if (ticket.target === undefined && request.full && joins) await this.rows.needFull(manager, ASKED, source);
    ticket.target ??= joins && request.slot !== undefined ? round : round + 1;
    if (!joins) return this.share(manager, ticket, await this.begin(manager, ticket, row, now));
    await this.join(manager, ticket, row);
    return this.share(manager, ticket, row);
  }

  /** A sweep that is running counts for the slots that come meanwhile. */
  private async join(manager: EntityManager, { source, request }: SweepTicket, row: SweepRow): Promise<void> {
    const isNewSlot = request.slot !== undefined && Number(row.is_past) === 0;
    if (row.holder !== null && !isNewSlot) return;
    const changes = `holder = :shared, ${this.rows.kept}${isNewSlot ? ', slot = :slot' : ''}`;
    await this.rows.change(manager, source, changes, { ...request, shared: SHARED });
  }

  private async begin(manager: EntityManager, ticket: SweepTicket, row: SweepRow, now: number): Promise<SweepRow> {
    const { source, request, fingerprint } = ticket;
    const baseline = request.baseline ?? (row.began_at !== null && Number(row.baseline) === 1);
    const hindrance = request.full ? ASKED : baseline ? BASELINE : row.hindrance;
    const { changedSince, boundary, why } = await ticket.plan(manager, {
      boundary: request.full || baseline ? undefined : (row.boundary ?? undefined),
      hindrance: hindrance ?? undefined,
      fullAt: row.full_at === null ? undefined : Number(row.full_at),
      isSameVersion: row.fingerprint === fingerprint,
    });
    const found = await this.ranges.clear(manager, source);
    const slot = request.slot === undefined ? '' : ', slot = :slot';
    const changes = `${AT_START}, ${this.rows.kept}, holder = :shared, round = round + 1, began_at = :now, baseline = :baseline,
      found = found + :found, fingerprint = :fingerprint, changed_since = :changedSince, boundary = :changedSince,
      next_boundary = :next, hindrance = NULL, why = :why${slot}`;
    const values = { now, baseline: Number(baseline), found, fingerprint, why, slot: request.slot };
    const bounds = { changedSince: changedSince ?? null, next: boundary ?? null, shared: SHARED };
    await this.rows.change(manager, source, changes, { ...values, ...bounds });
    return (await this.rows.lock(manager, source))!;
  }

  /** Takes over a range, or hands out the next one, or the work that ends the sweep. */
  private async share(manager: EntityManager, ticket: SweepTicket, row: SweepRow): Promise<Taken | Retried> {
    const { source } = ticket;
    const round = roundOf(row);
    const range =
      (await this.ranges.takeOver(manager, source, ['open', 'ending'])) ?? (await this.handOut(manager, ticket, row));
    if (range) return { range, round };
    const { open, failed } = await this.ranges.count(manager, source);
    if (open > 0) return 'wait';
    if (failed === 0) return { range: await this.ranges.add(manager, source, { ...NO_KEYS, state: 'ending' }), round };
    await this.abort(manager, source);
    return 'over';
  }

  /** Takes over a range, or hands out the next one. What ends the sweep is left to the processes that sweep. */
  private async shareOfHelper(manager: EntityManager, ticket: SweepTicket, row: SweepRow): Promise<Taken> {
    const range =
      (await this.ranges.takeOver(manager, ticket.source, ['open'])) ?? (await this.handOut(manager, ticket, row));
    return range ? { range, round: roundOf(row) } : 'wait';
  }

  private async handOut(manager: EntityManager, ticket: SweepTicket, row: SweepRow): Promise<SweepRange | undefined> {
    if (Number(row.handed_all) === 1) return undefined;
    const { source } = ticket;
    const after = row.handed_out ?? undefined;
    const rows = row.changed_since === null ? ROWS : ROWS_PASSED_OVER;
    const upTo = await ticket.keyBehind(manager, after, rows);
    const isLast = upTo === undefined;
    const changes = 'handed_out = :upTo, handed_all = :isLast';
    await this.rows.change(manager, source, changes, { upTo: upTo ?? null, isLast: Number(isLast) });
    return this.ranges.add(manager, source, { state: 'open', after, upTo, size: isLast ? undefined : rows });
  }

  /** Ends a sweep that could not read all rows. */
  private async abort(manager: EntityManager, source: string): Promise<void> {
    const found = await this.ranges.clear(manager, source);
    await this.rows.change(manager, source, `found = found + :found, ${ENDED}`, { found });
  }
}

/** `locked`: another transaction has locked the source. `over`: a sweep has ended without reading all rows. */
type Retried = 'locked' | 'over';

const NO_KEYS: Omit<NewRange, 'state'> = { after: undefined, upTo: undefined, size: undefined };
const ASKED = 'a call asked for all rows';
const BASELINE = 'it is a baseline';

const roundOf = (row: SweepRow): SweepRound => ({
  number: Number(row.round),
  baseline: Number(row.baseline) === 1,
  sweptAt: row.swept_at === null ? undefined : Number(row.swept_at),
  code: row.code ?? undefined,
  changedSince: row.changed_since ?? undefined,
  passed: Number(row.passed),
});
