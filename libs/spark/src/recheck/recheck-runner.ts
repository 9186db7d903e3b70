import { randomUUID } from 'node:crypto';
import type { DataSource, EntityManager, EntityMetadata } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import type { DueRecheck, Rechecks } from '../store/rechecks.js';
import { SerialQueue } from '../common/serial-queue.js';
import type { SparkClock } from '../common/clock.js';
import type { Transactions } from '../database/transactions.js';
import { CHAIN_START } from '../event/chain.js';
import { linesOf } from '../error/text-of.js';
import type { Past, RecordResult, Recorder } from '../record/recorder.js';
import type { Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { namesOf } from '../entity/entity-table.js';
import { sameKey } from '../entity/subject-ref.js';

/** How many rechecks one claim takes at most. */
const MOST_RECHECKS = 500;
// After so long, other processes are notified of more rechecks of the table, in milliseconds: a source may wait for something.
const LONG_WORK = 100;
// How long rechecks wait after their work failed, in milliseconds.
const PAUSE = 2_000;
// How often a claim begins at the oldest recheck, in milliseconds. The oldest may be many that no process claims, so most claims skip them.
const FROM_OLDEST = 60_000;
// Rechecks are due when they are added, but are seen only after the commit. A claim goes back in time by this long. It misses rechecks of
// longer transactions; the next claim from the oldest on finds them. In milliseconds.
const LONG_TRANSACTION = 10 * 60_000;

/** Rechecks of entities of one table that this process has claimed at an instant. */
interface Claim {
  readonly root: EntityMetadata;
  readonly by: string;
  readonly due: readonly DueRecheck[];
  readonly now: number;
}

/** How many rechecks were claimed, and whether the claim was for all tables. */
interface Claimed {
  readonly count: number;
  readonly isOfAll: boolean;
}

/**
 * Works off due rechecks. It claims them, reads the entities and runs the sources. Then, in one short transaction, it enters the events
 * and removes the rechecks. Nothing is locked while sources run. Each table is worked off by itself, so that a source that waits, or a
 * locked table, delays no other table.
 *
 * An event derives from a state that was committed when it was read. A later change of the entity adds a recheck of its own.
 */
export class RecheckRunner {
  private readonly logger = new SparkLog();
  /** The tables that this process works on. `since` is by `performance.now()`. */
  private readonly working = new Map<EntityMetadata, { readonly since: number; readonly ended: Promise<void> }>();
  private readonly claims = new SerialQueue();
  private halted = false;
  /** The instant up to which this process has claimed all due rechecks; undefined if it has not. */
  private claimedAll: number | undefined;
  /** How many rechecks this process has claimed. */
  claimed = 0;

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly rechecks: Rechecks,
    private readonly sources: SourceRegistry,
    private readonly recorder: Recorder,
    private readonly clock: SparkClock,
    /** How long a claim lasts without an extension, in milliseconds. */
    private readonly ttl: number,
    private readonly onRecorded: (recorded: RecordResult) => void,
    /** Called when the work on a table has ended. More rechecks of the table may be due then. */
    private readonly onEnded: () => void,
    /** Called when more rechecks may be due than this process can begin now: others can. */
    private readonly onFull: () => void,
  ) {}

  /** Whether this process can begin due rechecks at once, as far as it is known: it does not claim those of a table that it works on. */
  get hasPlace(): boolean {
    const isBusy = [...this.working.values()].some(({ since }) => performance.now() - since > LONG_WORK);
    return !this.halted && !isBusy;
  }

  /** Begins to work off due rechecks of the tables that it does not work on already. Returns how many it has claimed. */
  async begin(): Promise<number> {
    const now = this.clock.now();
    const then = this.claimedAll;
    const isRecent = then !== undefined && now >= then && now - then < FROM_OLDEST;
    return (await this.claim(isRecent ? then - LONG_TRANSACTION : undefined)).count;
  }

  /** Works off due rechecks until none is left. */
  async drain(): Promise<void> {
    for (;;) {
      const { count, isOfAll } = await this.claim();
      // The work on a table that the claim left out may have ended meanwhile, and more of its rechecks may be due.
      if (count === 0 && isOfAll && this.working.size === 0) return;
      if (this.working.size > 0) await Promise.race([...this.working.values()].map(({ ended }) => ended));
    }
  }

  /** The time until the next recheck is due, in milliseconds; undefined if it is longer than `most`. */
  async untilDue(most: number): Promise<number | undefined> {
    const now = this.clock.now();
    const due = await this.rechecks.nextDue(this.dataSource.manager, now, Math.ceil(now + most));
    return due === undefined ? undefined : due - now;
  }

  /** Stops claiming rechecks until `resume` is called. */
  halt(): void {
    this.halted = true;
  }

  resume(): void {
    this.halted = false;
  }

  /** Resolves when all claims and all work on rechecks have ended. */
  async ended(): Promise<void> {
    await this.claims.ended();
    await Promise.allSettled([...this.working.values()].map(({ ended }) => ended));
  }

  private claim(after?: number): Promise<Claimed> {
    return this.claims.run(() => this.claimAll(after));
  }

  private async claimAll(after: number | undefined): Promise<Claimed> {
    const roots = this.sources.liveRoots();
    const idle = roots.filter((root) => !this.working.has(root));
    const isOfAll = this.halted || idle.length === roots.length;
    if (this.halted || idle.length === 0) return { count: 0, isOfAll };
    const now = this.clock.now();
    const request = { roots: idle, now, after, limit: MOST_RECHECKS, ttl: this.ttl };
    // Each try has a name of its own: a claim that failed here may have committed on the server.
    const { by, due } = await this.transactions.run(async (manager) => {
      const token = randomUUID();
      return { by: token, due: await this.rechecks.claim(manager, { ...request, by: token }) };
    });
    this.claimed += due.length;
    if (due.length === MOST_RECHECKS) this.onFull();
    if (after === undefined) this.claimedAll = isOfAll && due.length < MOST_RECHECKS ? now : undefined;
    for (const root of idle) {
      const own = due.filter(({ entity }) => namesOf(root).includes(entity));
      if (own.length > 0) this.start({ root, by, due: own, now });
    }
    return { count: due.length, isOfAll };
  }

  private start(claim: Claim): void {
    const { root } = claim;
    // Rechecks that were added meanwhile wait for this work, or for another process.
    const late = setTimeout(this.onFull, LONG_WORK);
    const work = this.work(claim).finally(() => {
      clearTimeout(late);
      this.working.delete(root);
      this.onEnded();
    });
    this.working.set(root, { since: performance.now(), ended: work });
    work.catch((error: unknown) =>
      this.logger.error(`The rechecks of ${root.name} failed. Spark tries them again. ${linesOf(error)}`, {
        entity: root.name,
        error,
      }),
    );
  }

  private async work(claim: Claim): Promise<void> {
    try {
      const recorded = await this.workOff(claim);
      if (recorded) this.onRecorded(recorded);
    } catch (error) {
      await this.giveBack(claim, PAUSE);
      throw error;
    }
  }

  private async workOff(claim: Claim): Promise<RecordResult | undefined> {
    const { root, due, now } = claim;
    const past = pastOf(root, due);
    const sources = this.sources.liveOf(root);
    const derivation = await this.during(claim, () => this.derive(sources, [...past.keys()], now, past));
    const retries = this.recorder.retries(derivation.failures, now, past);
    const recorded = await this.transactions
      .run(async (manager) => {
        if (!(await this.rechecks.remove(manager, due, claim.by))) throw new LostClaim();
        const entered = await this.recorder.enter(manager, derivation, now, {
          likelyNew: false,
          changesNothing: true,
        });
        await this.rechecks.add(manager, retries, now, true);
        return { ...entered, rechecks: false };
      })
      .catch((error: unknown) => {
        if (error instanceof LostClaim) return undefined;
        throw error;
      });
    // `forget` has removed rechecks, or another process has claimed them. Those that this process still has are derived again.
    if (!recorded) await this.giveBack(claim, 0);
    return recorded;
  }

  private async derive(
    sources: readonly Source[],
    ids: readonly string[],
    now: number,
    past: ReadonlyMap<string, Past>,
  ) {
    const { manager } = this.dataSource;
    const derivation = await this.recorder.derive(manager, sources, ids, now, past);
    if (derivation.isCatchingUp) await this.recorder.dropKnown(manager, derivation);
    return derivation;
  }

  /** Extends the claim while the work runs, which may take longer than the claim lasts. */
  private async during<T>({ due, by }: Claim, work: () => Promise<T>): Promise<T> {
    let extending: Promise<void> | undefined;
    const extend = () => {
      // If the claim is lost, the removal of the rechecks finds out.
      extending = this.rechecks.extend(this.dataSource.manager, due, by, this.ttl).catch(() => undefined);
    };
    const timer = setInterval(extend, this.ttl / 3);
    try {
      return await work();
    } finally {
      clearInterval(timer);
      await extending;
    }
  }

  // If the database does not answer, the claim expires by itself.
  private async giveBack({ due, by }: Claim, pause: number): Promise<void> {
    this.claimedAll = undefined;
    const give = (manager: EntityManager) => this.rechecks.extend(manager, due, by, pause - 1);
    await this.transactions.run(give).catch(() => undefined);
  }
}

/** This process no longer has some of its rechecks, so it does not enter the derived events. */
class LostClaim extends Error {}

/** The ids of the entities to recheck, each once, with the past of its rechecks. */
function pastOf(root: EntityMetadata, due: readonly DueRecheck[]): Map<string, Past> {
  const entities = new Map<string, Past>();
  for (const { entity_id: written, attempt, depth, caused_by: cause } of due) {
    const id = sameKey(root, written);
    const other = entities.get(id) ?? { attempt: 0, ...CHAIN_START };
    const own = { depth: Number(depth), cause: cause === null ? null : String(cause) };
    entities.set(id, {
      attempt: Math.max(other.attempt, Number(attempt)),
      ...(own.depth > other.depth ? own : { depth: other.depth, cause: other.cause }),
    });
  }
  return entities;
}
