import { randomUUID } from 'node:crypto';
import { Logger } from '@nestjs/common';
import type { DataSource, EntityManager, EntityMetadata } from 'typeorm';
import type { DueRecheck, Rechecks } from '../store/rechecks.js';
import { SerialQueue } from '../common/serial-queue.js';
import type { SparkClock } from '../common/clock.js';
import type { Transactions } from '../database/transactions.js';
import { linesOf } from '../error/text-of.js';
import type { Past, RecordResult, Recorder } from '../record/recorder.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { namesOf } from '../entity/entity-table.js';
import { sameKey } from '../entity/subject-ref.js';

const LOOKS = 500;
// How long rechecks that could not be worked off are left alone, in milliseconds.
const PAUSE = 2_000;
// How often rechecks are claimed from the oldest one on. Rechecks that nobody takes may be many, and they are the oldest.
const FROM_OLDEST = 60_000;
// A transaction adds rechecks that are due while it lasts. What a longer one adds is found by the next claim from the oldest on.
const LONG_TRANSACTION = 10 * 60_000;

/** Rechecks of entities of one table that this process has claimed at an instant. */
interface Claim {
  readonly root: EntityMetadata;
  readonly by: string;
  readonly due: readonly DueRecheck[];
  readonly now: number;
}

/** How many rechecks a claim has taken, and whether it passed over no table. */
interface Claimed {
  readonly taken: number;
  readonly isOfAll: boolean;
}

/**
 * Works off due rechecks: claims them, reads the entities, derives, and then, in one short transaction, enters what was found and
 * removes the rechecks. Nothing is locked while sources run. Each table is worked off by itself, so that a source that waits, or a
 * table that somebody has locked, holds up no other.
 *
 * An event derives from a state that was committed when it was read. Who changes the entity meanwhile adds a recheck of its own.
 */
export class RecheckRunner {
  private readonly logger = new Logger('Spark');
  private readonly working = new Map<EntityMetadata, Promise<void>>();
  private readonly claims = new SerialQueue();
  private halted = false;
  /** When all that was due here had been claimed. */
  private claimedAll: number | undefined;
  /** How many rechecks this process has taken. */
  taken = 0;

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly rechecks: Rechecks,
    private readonly sources: SourceRegistry,
    private readonly recorder: Recorder,
    private readonly clock: SparkClock,
    /** How long a process that does not extend its claim keeps it, in milliseconds. */
    private readonly ttl: number,
    private readonly onRecorded: (recorded: RecordResult) => void,
    /** A table that this process was at has been worked off: more of it may be due. */
    private readonly onEnded: () => void,
  ) {}

  /** Begins to work off what is due of tables that it is not at already. Returns how many rechecks it has taken. */
  async begin(): Promise<number> {
    const now = this.clock.now();
    const then = this.claimedAll;
    const isRecent = then !== undefined && now >= then && now - then < FROM_OLDEST;
    return (await this.claim(isRecent ? then - LONG_TRANSACTION : undefined)).taken;
  }

  /** Works off what is due until nothing is left. */
  async drain(): Promise<void> {
    for (;;) {
      const { taken, isOfAll } = await this.claim();
      // A table that was passed over may have been worked off meanwhile: more of it may be due.
      if (taken === 0 && isOfAll && this.working.size === 0) return;
      if (this.working.size > 0) await Promise.race(this.working.values());
    }
  }

  /** How long it is until rechecks are due, in milliseconds, where it is less than so many. */
  async untilDue(most: number): Promise<number | undefined> {
    const now = this.clock.now();
    const due = await this.rechecks.nextDue(this.dataSource.manager, now, Math.ceil(now + most));
    return due === undefined ? undefined : due - now;
  }

  /** No further rechecks are taken, until `resume` is called. */
  halt(): void {
    this.halted = true;
  }

  resume(): void {
    this.halted = false;
  }

  /** Resolves when nothing is being worked off, nor claimed. */
  async ended(): Promise<void> {
    await this.claims.ended();
    await Promise.allSettled(this.working.values());
  }

  private claim(after?: number): Promise<Claimed> {
    return this.claims.run(() => this.claimAll(after));
  }

  private async claimAll(after: number | undefined): Promise<Claimed> {
    const roots = this.sources.liveRoots();
    const idle = roots.filter((root) => !this.working.has(root));
    const isOfAll = this.halted || idle.length === roots.length;
    if (this.halted || idle.length === 0) return { taken: 0, isOfAll };
    const now = this.clock.now();
    const request = { roots: idle, now, after, limit: LOOKS, ttl: this.ttl };
    // Each try has a name of its own: one that failed here may have arrived there.
    const { by, due } = await this.transactions.run(async (manager) => {
      const token = randomUUID();
      return { by: token, due: await this.rechecks.claim(manager, { ...request, by: token }) };
    });
    this.taken += due.length;
    if (after === undefined) this.claimedAll = isOfAll && due.length < LOOKS ? now : undefined;
    for (const root of idle) {
      const own = due.filter(({ entity }) => namesOf(root).includes(entity));
      if (own.length > 0) this.start({ root, by, due: own, now });
    }
    return { taken: due.length, isOfAll };
  }

  private start(claim: Claim): void {
    const { root } = claim;
    const work = this.work(claim).finally(() => {
      this.working.delete(root);
      this.onEnded();
    });
    this.working.set(root, work);
    work.catch((error: unknown) =>
      this.logger.error(`Rechecks of ${root.name} could not be worked off and are taken again. ${linesOf(error)}`),
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
    const derivation = await this.during(claim, () =>
      this.recorder.derive(this.dataSource.manager, sources, [...past.keys()], now, past),
    );
    const retries = this.recorder.retries(derivation.failures, now, past);
    const recorded = await this.transactions
      .run(async (manager) => {
        if (!(await this.rechecks.remove(manager, due, claim.by))) throw new LostClaim();
        const { events } = await this.recorder.enter(manager, derivation, now, {
          likelyNew: false,
          changesNothing: true,
        });
        await this.rechecks.add(manager, retries, now, true);
        return { events, rechecks: false };
      })
      .catch((error: unknown) => {
        if (error instanceof LostClaim) return undefined;
        throw error;
      });
    // Somebody has forgotten an entity, or taken the rechecks over: what is still ours is derived anew.
    if (!recorded) await this.giveBack(claim, 0);
    return recorded;
  }

  /** Keeps the claim during work that may take longer than it lasts. */
  private async during<T>({ due, by }: Claim, work: () => Promise<T>): Promise<T> {
    let extending: Promise<void> | undefined;
    const extend = () => {
      // What goes wrong here, the removal sees.
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

  // Where the database is away, the claim ends by itself.
  private async giveBack({ due, by }: Claim, pause: number): Promise<void> {
    this.claimedAll = undefined;
    const give = (manager: EntityManager) => this.rechecks.extend(manager, due, by, pause - 1);
    await this.transactions.run(give).catch(() => undefined);
  }
}

/** Some rechecks are not this process's any more: what was derived for them is not entered. */
class LostClaim extends Error {}

/** The entities that are looked at, each once, and what led to it. */
function pastOf(root: EntityMetadata, due: readonly DueRecheck[]): Map<string, Past> {
  const entities = new Map<string, Past>();
  for (const { entity_id: written, attempt, depth } of due) {
    const id = sameKey(root, written);
    const other = entities.get(id) ?? { attempt: 0, depth: 0 };
    entities.set(id, {
      attempt: Math.max(other.attempt, Number(attempt)),
      depth: Math.max(other.depth, Number(depth)),
    });
  }
  return entities;
}
