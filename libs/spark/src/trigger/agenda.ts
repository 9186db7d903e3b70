import type { DataSource, EntityManager, EntityMetadata } from 'typeorm';
import type { DueLook, Look, Looks } from '../agenda/looks.js';
import type { SparkClock } from '../clock.js';
import type { Dialect } from '../dialect/dialect.js';
import { withRunner } from '../dialect/statement.js';
import type { Transactions } from '../dialect/transactions.js';
import type { Derivation } from '../pipeline/derivation.js';
import type { Past, Recorded, Recorder } from '../pipeline/recorder.js';
import type { SourceRegistry } from '../source/source.registry.js';

const LOOKS = 500;

interface Taken {
  readonly due: readonly DueLook[];
  readonly derivations: readonly Derivation[];
  readonly retries: readonly Look[];
}

/** Takes due looks: reads the entities as they are committed, derives, enters, and removes the looks, in one transaction. */
export class Agenda {
  private turn: Promise<unknown> = Promise.resolve();
  private halted = false;
  /** How many looks this process has taken. */
  taken = 0;

  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
    private readonly transactions: Transactions,
    private readonly looks: Looks,
    private readonly sources: SourceRegistry,
    private readonly recorder: Recorder,
    private readonly clock: SparkClock,
    private readonly announce: (recorded: Recorded) => void,
  ) {}

  /** Looks until nothing is due, and returns how many looks there were. Calls queue up. */
  runDue(): Promise<number> {
    const run = this.turn.then(async () => {
      let total = 0;
      for (let taken = LOOKS; taken === LOOKS && !this.halted; total += taken) taken = await this.tick();
      return total;
    });
    this.turn = run.catch(() => undefined);
    return run;
  }

  /** No further looks are taken. */
  halt(): void {
    this.halted = true;
  }

  private async tick(): Promise<number> {
    const now = this.clock.now();
    const { taken, recorded } = this.dialect.skipsLocked
      ? await this.transactions.run(async (manager) => this.settle(manager, await this.take(manager, now), now))
      : await this.tickUnlocked(now);
    this.taken += taken;
    if (taken > 0) this.announce(recorded);
    return taken;
  }

  // Sources may wait, and SQLite has one writer: they run before the transaction. A change that comes between has a look
  // of its own, and a second process that took the same looks enters nothing twice.
  private async tickUnlocked(now: number) {
    const taken = await withRunner(this.dataSource.manager, ({ manager }) => this.take(manager, now));
    if (taken.due.length === 0) return { taken: 0, recorded: { events: [], looks: false } };
    return this.transactions.run((manager) => this.settle(manager, taken, now));
  }

  private async take(manager: EntityManager, now: number): Promise<Taken> {
    const roots = new Map(this.sources.liveRoots().map((root) => [root.name, root]));
    const due = await this.looks.take(manager, [...roots.keys()], now, LOOKS);
    const derivations: Derivation[] = [];
    const retries: Look[] = [];
    for (const [name, past] of byEntity(due)) {
      const root = roots.get(name) as EntityMetadata;
      const derivation = await this.recorder.derive(manager, this.sources.liveOf(root), [...past.keys()], now, past);
      derivations.push(derivation);
      retries.push(...this.recorder.retries(derivation.failures, now, past));
    }
    return { due, derivations, retries };
  }

  private async settle(manager: EntityManager, { due, derivations, retries }: Taken, now: number) {
    const events: Recorded['events'] = [];
    for (const derivation of derivations) events.push(...(await this.recorder.enter(manager, derivation, now)).events);
    if (due.length > 0) await this.looks.remove(manager, due);
    await this.looks.add(manager, retries, now);
    return { taken: due.length, recorded: { events, looks: false } };
  }
}

/** The entities that are looked at, each once, and what led to it. */
function byEntity(due: readonly DueLook[]): Map<string, Map<string, Past>> {
  const entities = new Map<string, Map<string, Past>>();
  for (const { entity, entity_id: id, attempt, depth } of due) {
    const past = entities.get(entity) ?? new Map<string, Past>();
    const other = past.get(id) ?? { attempt: 0, depth: 0 };
    past.set(id, { attempt: Math.max(other.attempt, Number(attempt)), depth: Math.max(other.depth, Number(depth)) });
    entities.set(entity, past);
  }
  return entities;
}
